//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

// TestSigtermUnderLoad stops a server that has its hands full. It must end well and soon, and the next one must find everything.
func TestSigtermUnderLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "term.db")
	serve := func() (*process, string) {
		p := start(t, dir, nil, "--listen", "127.0.0.1:0", "--data", file, "--log-level", "error",
			"--partner-blocked", blocked, "--tracking-limit", strconv.Itoa(limit))
		return p, p.url(t, "bff")
	}
	c := newCrowd(inFlight, rand.New(rand.NewPCG(1, 1)))
	rested := make(chan struct{})
	go func() {
		defer close(rested)
		c.run(t.Context())
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := func(base string, until func(active int) bool) {
		t.Helper()
		if _, err := c.watch(ctx, base, until); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
	}

	p, base := serve()
	c.turn(base)
	watch(base, func(active int) bool { return active >= mustLive })
	asked := time.Now()
	code := p.terminate(t)
	took := time.Since(asked)
	c.turn("")
	t.Logf("stopped with %d registrations in flight after %v", c.inFlight(), took.Round(time.Millisecond))
	if code != 0 || took > 20*time.Second { // 10 s for requests, 5 s and 5 s for the relay
		t.Errorf("exit code %d after %v\n%s", code, took, p.stderr)
	}

	p, base = serve()
	c.stop()
	c.turn(base)
	watch(base, func(active int) bool {
		select {
		case <-rested:
			return active == 0
		default:
			return false
		}
	})
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
	db, err := openData(file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, violations, err := audit(t.Context(), db, c.placed())
	if err != nil || len(violations) > 0 || f.sagas < mustLive {
		t.Errorf("%+v %v\n%s", f, err, strings.Join(violations, "\n"))
	}
}

// TestHelp wants every setting to be told, with what it does and the variable that sets it.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}} {
		code, stdout, stderr := finish(t, t.TempDir(), args...)
		if code != 0 || stderr != "" {
			t.Fatalf("%v: exit code %d, %s", args, code, stderr)
		}
		text := strings.Join(strings.Fields(stdout), " ")
		flags := reflect.VisibleFields(reflect.TypeFor[serveCommand]())
		config, _ := reflect.TypeFor[commands]().FieldByName("Config")
		for _, f := range append(flags, config) {
			if f.Anonymous {
				continue // its fields are among the others
			}
			name := f.Tag.Get("name")
			if name == "" {
				name = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(f.Name, "$1-$2"))
			}
			help, env := f.Tag.Get("help"), f.Tag.Get("env")
			if help == "" || env == "" {
				t.Errorf("--%s has no help or no variable", name)
			}
			told := regexp.MustCompile(`--` + name + `(=\S+)? ` + regexp.QuoteMeta(strings.TrimSuffix(help, ".")) +
				`\.? \(\$` + strings.ReplaceAll(env, ",", `, \$`) + `\)\.?`)
			if !told.MatchString(text) {
				t.Errorf("%v does not tell %v:\n%s", args, told, stdout)
			}
		}
	}
}

// TestSettingsPrevail looks at which file the server keeps its data in.
func TestSettingsPrevail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, other string // alpes-partners.json, other.json
		env         []string
		args        []string
		want        string
	}{
		"default":                      {want: "alpes-partners.db"},
		"file":                         {file: `{"data": "file.db"}`, want: "file.db"},
		"environment over file":        {file: `{"data": "file.db"}`, env: []string{"ALPES_DATA=env.db"}, want: "env.db"},
		"flag over environment":        {file: `{"data": "file.db"}`, env: []string{"ALPES_DATA=env.db"}, args: []string{"--data", "flag.db"}, want: "flag.db"},
		"flag over file":               {file: `{"data": "file.db"}`, args: []string{"--data", "flag.db"}, want: "flag.db"},
		"named file":                   {other: `{"data": "other.db"}`, args: []string{"--config", "other.json"}, want: "other.db"},
		"named file over the usual":    {file: `{"data": "file.db"}`, other: `{"data": "other.db"}`, args: []string{"--config", "other.json"}, want: "other.db"},
		"environment over named file":  {other: `{"data": "other.db"}`, env: []string{"ALPES_DATA=env.db"}, args: []string{"--config", "other.json"}, want: "env.db"},
		"all types":                    {file: `{"data": "file.db", "tracking-limit": 1000000, "log-json": true, "partner-blocked": ["A", "B"]}`, want: "file.db"},
		"the command may be named":     {args: []string{"serve", "--data", "flag.db"}, want: "flag.db"},
		"ephemeral of the environment": {env: []string{"ALPES_EPHEMERAL=true"}, want: ""},
		"database":                     {args: []string{"--database", "sqlite:flag.db"}, want: "flag.db"},
		"database of the original":     {env: []string{"DATABASE_URL=sqlite:///env.db"}, want: "env.db"},
		"ours over the original's":     {env: []string{"DATABASE_URL=sqlite:///theirs.db", "ALPES_DATABASE=sqlite:ours.db"}, want: "ours.db"},
		"database flag over database":  {env: []string{"DATABASE_URL=sqlite:///env.db"}, args: []string{"--database", "sqlite:flag.db"}, want: "flag.db"},
		"data flag over database":      {env: []string{"DATABASE_URL=sqlite:///env.db"}, args: []string{"--data", "flag.db"}, want: "flag.db"},
		"ephemeral flag over database": {env: []string{"DATABASE_URL=sqlite:///env.db"}, args: []string{"--ephemeral"}, want: ""},
		"database flag over ephemeral": {env: []string{"ALPES_EPHEMERAL=true"}, args: []string{"--database", "sqlite:flag.db"}, want: "flag.db"},
		"data flag over ephemeral":     {env: []string{"ALPES_EPHEMERAL=true"}, args: []string{"--data", "flag.db"}, want: "flag.db"},
		"database over data":           {env: []string{"DATABASE_URL=sqlite:///env.db", "ALPES_DATA=data.db"}, want: "env.db"},
		"database in the file":         {file: `{"database": "sqlite:file.db"}`, want: "file.db"},
		"broker in memory":             {env: []string{"BROKER_HOST=nowhere"}, args: []string{"--broker", "memory"}, want: "alpes-partners.db"},
		"ephemeral in the file":        {file: `{"ephemeral": true}`, want: ""},
		"environment over ephemeral":   {file: `{"ephemeral": true}`, env: []string{"ALPES_EPHEMERAL=false"}, want: "alpes-partners.db"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range map[string]string{settingsFile: c.file, "other.json": c.other} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p := start(t, dir, append(c.env, "ALPES_LISTEN=127.0.0.1:0"), c.args...)
			p.url(t, "bff")
			if code := p.terminate(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, p.stderr)
			}
			want := "in memory"
			if c.want != "" {
				want = filepath.Join(dir, c.want)
			}
			if !strings.Contains(p.stdout.String(), "Data: "+want+"\n") {
				t.Errorf("the welcome text does not say that the data is %s:\n%s", want, p.stdout)
			}
			files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(files); c.want == "" && got > 0 || c.want != "" && !slices.Equal(files, []string{want}) {
				t.Errorf("it left %q, want %q", files, want)
			}
		})
	}
}

// TestWrongSettings wants each to be named, with what would be right.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for name, c := range map[string]struct {
		file string
		args []string
		want []string // in the one line on standard error
	}{
		"unknown service":   {args: []string{"--services", "bff,marketing"}, want: []string{"services", `"marketing"`, "bff campaign partner tracking"}},
		"service twice":     {args: []string{"--services", "bff,bff"}, want: []string{"services", `"bff"`, "twice"}},
		"port taken":        {args: []string{"--ephemeral", "--listen", taken.Addr().String()}, want: []string{"listen", taken.Addr().String(), "in use", "choose an address"}},
		"no port":           {args: []string{"--ephemeral", "--listen", "localhost"}, want: []string{"listen", "localhost", "host:port"}},
		"no host":           {args: []string{"--ephemeral", "--services", "bff", "--listen", "localhost"}, want: []string{"listen", "localhost", "host:port"}},
		"no such folder":    {args: []string{"--data", "none/x.db"}, want: []string{"data", "none/x.db", "folder that exists", "ephemeral"}},
		"data is a folder":  {args: []string{"--data", "/"}, want: []string{"data", "/", "name a file"}},
		"kind of database":  {args: []string{"--database", "oracle://u:secret@h/d"}, want: []string{"database", `"oracle"`, "postgres://"}},
		"database's name":   {args: []string{"--database", "mysql://u:secret@h"}, want: []string{"database", "mysql://USER:PASSWORD@HOST:PORT/DATABASE"}},
		"no database there": {args: []string{"--database", "postgres://u:secret@127.0.0.1:1/d"}, want: []string{"database: postgres://127.0.0.1:1/d", "refused", "must be there"}},
		"two databases":     {args: []string{"--database", "sqlite:x.db", "--ephemeral"}, want: []string{"database and ephemeral", "leave one out"}},
		"file or memory":    {args: []string{"--data", "x.db", "--ephemeral"}, want: []string{"data and ephemeral", "leave one out"}},
		"file or database":  {args: []string{"--data", "x.db", "--database", "sqlite:y.db"}, want: []string{"data and database", "leave one out"}},
		"no service":        {args: []string{"--ephemeral", "--services", ""}, want: []string{"services", "none", "bff campaign partner tracking"}},
		"sagas too short":   {args: []string{"--ephemeral", "--keep-sagas", "1h"}, want: []string{"keep-sagas", "1h0m0s", "168h0m0s", "negative"}},
		"inbox too short":   {args: []string{"--ephemeral", "--keep-inbox", "1h"}, want: []string{"keep-inbox", "1h0m0s", "168h0m0s", "negative"}},
		"kept not at all":   {args: []string{"--ephemeral", "--keep-sagas", "0"}, want: []string{"keep-sagas", "0 is too short", "negative"}},
		"broker":            {args: []string{"--ephemeral", "--broker", "kafka://h"}, want: []string{"bad setting: broker: it is no address", "pulsar://"}},
		"broker's port":     {args: []string{"--ephemeral", "--broker", "pulsar://localhost:abc"}, want: []string{"bad setting: broker: it is no address", "pulsar://localhost:6650"}},
		"broker's REST":     {args: []string{"--ephemeral", "--broker", "pulsar://h:1", "--broker-admin", "h:8080"}, want: []string{"bad setting: broker-admin: it is no address", "http://"}},
		"namespace":         {args: []string{"--ephemeral", "--broker", "pulsar://h:1", "--namespace", "default"}, want: []string{"bad setting: namespace: it is not", "tenant/namespace"}},
		"namespace of none": {args: []string{"--ephemeral", "--namespace", "public/x"}, want: []string{"broker", "namespace", "pulsar://localhost:6650"}},
		"broker's host":     {args: []string{"--ephemeral", "--broker-host", "h:6650"}, want: []string{"broker-host", `"h:6650"`, "pulsar://localhost:6650"}},
		"partner's host":    {args: []string{"--services", "bff", "--partner-host", "ftp://h"}, want: []string{"partner-host", "ftp://h", "host:port"}},
		"tracking's host":   {args: []string{"--services", "bff", "--tracking-host", "ftp://h"}, want: []string{"tracking-host", "ftp://h", "host:port"}},
		"host of no port":   {args: []string{"--services", "bff", "--campaign-host", "nonsense"}, want: []string{"campaign-host", "nonsense", "no port", "host:port"}},
		"log level":         {args: []string{"--log-level", "loud"}, want: []string{"--log-level", "loud", `"debug","info","warn","error"`}},
		"no number":         {args: []string{"--tracking-limit", "many"}, want: []string{"--tracking-limit", "many", "int"}},
		"unknown flag":      {args: []string{"--dta", "x"}, want: []string{"--dta"}},
		"unknown command":   {args: []string{"srve"}, want: []string{"srve"}},
		"no settings file":  {args: []string{"--config", "none.json"}, want: []string{"none.json"}},
		"no JSON":           {file: "data: x", want: []string{"settings file", settingsFile, "JSON object"}},
		"no object":         {file: `["data"]`, want: []string{"settings file", settingsFile, "JSON object"}},
		"cut off":           {file: `{"data": "x"`, want: []string{"settings file", settingsFile, "JSON object"}},
		"text after it":     {file: `{"data": "x"} {}`, want: []string{"settings file", settingsFile, "JSON object", "follows"}},
		"setting twice":     {file: `{"data": "x", "data": "y"}`, want: []string{"settings file", settingsFile, `"data"`, "twice"}},
		"null":              {file: `{"data": null}`, want: []string{"settings file", settingsFile, `"data"`, "null", "leave it out"}},
		"object":            {file: `{"data": {"x": 1}}`, want: []string{"settings file", settingsFile, `"data"`, "object", "texts"}},
		"unknown setting":   {file: `{"dta": "x"}`, want: []string{"settings file", settingsFile, `"dta"`, "--help"}},
		"wrong type":        {file: `{"tracking-limit": "many"}`, want: []string{"--tracking-limit", settingsFile, "many"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, settingsFile), []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code, stdout, stderr := finish(t, dir, c.args...)
			if code == 0 || stdout != "" || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
			}
			for _, part := range c.want {
				if !strings.Contains(stderr, part) {
					t.Errorf("does not say %s: %s", part, stderr)
				}
			}
			if strings.Contains(stderr, "secret") {
				t.Errorf("the password is told: %s", stderr)
			}
		})
	}
}

// TestServices runs parts of the system on the ports that the original has.
func TestServices(t *testing.T) {
	ports := map[string]string{"bff": "8000", "campaign": "8001", "partner": "8002", "tracking": "8003"}
	host := "127.0.0.1"
	if err := free(t, host, ports); err != nil {
		host = "127.0.91.1" // Linux has many
		if again := free(t, host, ports); again != nil {
			t.Skipf("NOT TESTED: the services' original ports are not free: %v, %v", err, again)
		}
	}
	for _, c := range []struct {
		services []string
		sagas    int    // what the bff answers to /v1/sagas
		where    string // what it says about them
	}{
		{[]string{"campaign", "bff"}, http.StatusOK, `"items"`},
		{[]string{"bff"}, http.StatusNotImplemented, "http://127.0.0.1:8001"},
	} {
		t.Run(strings.Join(c.services, ","), func(t *testing.T) {
			p := start(t, t.TempDir(), nil, "--ephemeral", "--services", strings.Join(c.services, ","), "--listen", host+":0")
			base := p.url(t, "bff")
			if told := p.stdout.String(); !strings.Contains(told, "what does not run here is not reached") || !strings.Contains(told, "--broker") {
				t.Errorf("it does not say what becomes of the others:\n%s", told)
			}
			if status, body := get(t, base+"/v1/sagas"); status != c.sagas || !strings.Contains(body, c.where) {
				t.Errorf("/v1/sagas: %d %s, want %d and %s", status, body, c.sagas, c.where)
			}
			for service, port := range ports {
				runs := slices.Contains(c.services, service)
				told := strings.Contains(p.stdout.String(), "http://"+host+":"+port+"\n")
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
				if err == nil {
					_ = conn.Close()
				}
				if (err == nil) != runs || told != runs {
					t.Errorf("%s: runs %t, is told %t, answers on its port: %v", service, runs, told, err)
				}
			}
			if code := p.terminate(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, p.stderr)
			}
		})
	}
}

// free tells whether the host's ports are.
func free(t *testing.T, host string, ports map[string]string) error {
	t.Helper()
	for _, port := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// TestToken wants the one setting that guards the rest to do so.
func TestToken(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"ALPES_TOKEN=secret"}, "--ephemeral", "--listen", "127.0.0.1:0")
	base := p.url(t, "bff")
	if status, body := get(t, base+"/v1/sagas"); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := get(t, base+"/v1/sagas", "Bearer secret"); status != http.StatusOK {
		t.Errorf("with it: %d %s", status, body)
	}
	if code := p.terminate(t); code != 0 || strings.Contains(p.stdout.String()+p.stderr.String(), "secret") {
		t.Errorf("exit code %d, or the token is told:\n%s%s", code, p.stdout, p.stderr)
	}
}

// TestLogIsJSON reads what the server logs about one request.
func TestLogIsJSON(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "--ephemeral", "--listen", "127.0.0.1:0", "--log-json")
	get(t, p.url(t, "bff")+"/healthz")
	p.terminate(t)
	for line := range strings.Lines(p.stderr.String()) {
		var entry struct {
			Level string `json:"level"`
			Msg   string `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "" || entry.Msg == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
	if !strings.Contains(p.stderr.String(), `"msg":"request"`) {
		t.Errorf("the request was not logged: %s", p.stderr)
	}
}

// TestWelcome does what the welcome text says.
func TestWelcome(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "--ephemeral", "--listen", "127.0.0.1:0")
	base := p.url(t, "bff")
	call := p.stdout.await(regexp.MustCompile(`curl -i (\S+) -H '([^:]+): ([^']+)' -d '([^']+)'`))
	if call == nil {
		t.Fatalf("no example:\n%s", p.stdout)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, call[1], strings.NewReader(call[4]))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(call[2], call[3])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	id := response.Header.Get("Saga-Id")
	if response.StatusCode != http.StatusOK || id == "" {
		t.Errorf("%s, saga %q", response.Status, id)
	}
	links := regexp.MustCompile(`(?m)^ {2}(http://\S+/\S+) `).FindAllStringSubmatch(p.stdout.String(), -1)
	if len(links) < 3 {
		t.Errorf("few links: %q", links)
	}
	for _, link := range append(links, []string{"", base + "/v1/sagas/" + id}) {
		if status, body := get(t, link[1]); status != http.StatusOK {
			t.Errorf("%s: %d %s", link[1], status, body)
		}
	}
}

// TestDemo runs the demo as a user does.
func TestDemo(t *testing.T) {
	t.Parallel()
	playDemo(t)
}

// TestIntegrationDemo runs it on a Pulsar, in a namespace of its own making.
func TestIntegrationDemo(t *testing.T) {
	t.Parallel()
	for _, coordination := range []string{"orchestrated", "choreographed"} {
		t.Run(coordination, func(t *testing.T) {
			b := testenv.Pulsar(t)
			playDemo(t, "--broker", b.URL, "--broker-admin", b.AdminURL, "--coordination", coordination)
			if _, body := get(t, b.AdminURL+"/admin/v2/namespaces/public"); strings.Contains(body, "alpes-demo") {
				t.Errorf("it left its namespace: %s", body)
			}
			playDemo(t, "--broker", b.URL, "--broker-admin", b.AdminURL, "--coordination", coordination, "--namespace", b.Namespace)
		})
	}
}

func playDemo(t *testing.T, args ...string) {
	t.Helper()
	dir := t.TempDir()
	code, stdout, stderr := finish(t, dir, append([]string{"demo"}, args...)...)
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	rest := stdout
	for _, want := range []string{
		"1. Everything succeeds", "the saga is completed", "COMPLETED after", "1 campaign (1 active), 3 partners, 3 tracking events",
		"2. The tracking service refuses", "the saga is compensated", "COMPENSATED after", "nothing is left behind",
		"3. The partner service refuses", "the saga is compensated", "COMPENSATED after", "nothing is left behind",
		"All three scenarios ended as they should.",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("does not say %q in its place:\n%s", want, stdout)
		}
		rest = after
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("it left %v, %v", files, err)
	}
}

// get asks for url, with a value for Authorization if need be.
func get(t *testing.T, url string, authorization ...string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range authorization {
		request.Header.Set("Authorization", value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", url, err))
	}
	return response.StatusCode, string(text)
}
