package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/alpespartners/alpespartners/server/app"
)

// composeFile is what the tests look at in compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Profiles    []string
		Image       string
		Build       struct{ Context, Dockerfile string }
		Environment map[string]string
		Ports       []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck struct {
			Test    []string
			Retries int
		}
		Volumes []string
	}
	Volumes map[string]any
}

// TestCompose holds compose.yaml against the server: it must not say what the server would not understand.
func TestCompose(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) != 2+len(app.Services()) {
		t.Errorf("there are %d services", len(file.Services))
	}
	for name, profiles := range map[string][]string{"pulsar": {"pulsar", "all"}, "db": {"db", "all"}} {
		s := file.Services[name]
		volume, _, _ := strings.Cut(strings.Join(s.Volumes, ""), ":")
		if _, there := file.Volumes[volume]; !slices.Equal(s.Profiles, profiles) || !there {
			t.Errorf("%s has the profiles %q and the volumes %q", name, s.Profiles, s.Volumes)
		}
		if !regexp.MustCompile(`:\d+\.\d+\.\d+}?$`).MatchString(s.Image) {
			t.Errorf("%s: the image %s has no whole version", name, s.Image)
		}
	}
	known := variables()
	for _, service := range app.Services() {
		s := file.Services[service]
		port := portOf(service)
		if !slices.Equal(s.Profiles, []string{"all"}) || s.Build.Context != ".." || s.Build.Dockerfile != "server/Dockerfile" {
			t.Errorf("%s: %+v", service, s)
		}
		if s.Environment["ALPES_SERVICES"] != service || !slices.Equal(s.Ports, []string{"127.0.0.1:" + port + ":" + port}) {
			t.Errorf("%s runs %s on %q", service, s.Environment["ALPES_SERVICES"], s.Ports)
		}
		if !slices.Contains(s.Healthcheck.Test, "http://127.0.0.1:"+port+"/readyz") {
			t.Errorf("%s is asked by %q", service, s.Healthcheck.Test)
		}
		for name := range s.Environment {
			if !known[name] {
				t.Errorf("%s: the server does not know the variable %s", service, name)
			}
		}
		for _, host := range []string{"CAMPAIGN_HOST=campaign", "PARTNER_HOST=partner", "TRAKING_HOST=tracking"} {
			name, at, _ := strings.Cut(host, "=")
			if s.Environment[name] != at+":"+portOf(at) {
				t.Errorf("%s: %s is %s", service, name, s.Environment[name])
			}
		}
		for _, other := range []string{"pulsar", "db"} {
			if s.DependsOn[other].Condition != "service_healthy" {
				t.Errorf("%s does not wait for %s", service, other)
			}
		}
	}
	for name, s := range file.Services {
		if len(s.Healthcheck.Test) == 0 || s.Healthcheck.Retries == 0 {
			t.Errorf("%s has no health check", name)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: the port %s is open to others", name, port)
			}
		}
	}
}

// portOf returns a service's original port.
func portOf(service string) string {
	return map[string]string{app.BFF: "8000", app.Campaign: "8001", app.Partner: "8002", app.Tracking: "8003"}[service]
}

// variables returns the names of all that the server reads of the environment.
func variables() map[string]bool {
	all := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[serveCommand]()) {
		for name := range strings.SplitSeq(f.Tag.Get("env"), ",") {
			all[name] = true
		}
	}
	return all
}

// TestDockerfile wants the images that the server is built in to be named in full, and Go's version to be the module's.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	from := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(text), -1)
	if len(from) != 2 {
		t.Fatalf("stages: %q", from)
	}
	for _, stage := range from {
		if !regexp.MustCompile(`:\d+\.\d+`).MatchString(stage[1]) {
			t.Errorf("the image %s has no version", stage[1])
		}
	}
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(module))
	if len(version) < 2 || !strings.HasPrefix(from[0][1], "golang:"+version[1]) {
		t.Errorf("%s does not build a module of %q", from[0][1], version)
	}
}
