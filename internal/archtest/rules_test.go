package archtest_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpespartners/alpespartners/internal/archtest"
)

// source is a small tree: paths and contents.
type source map[string]string

func (s source) load(t *testing.T) *archtest.Tree {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range s {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := archtest.Load(files, module)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// violations runs one rule and cuts each line down to "place: what".
func violations(t *testing.T, rule string, tree *archtest.Tree) []string {
	t.Helper()
	i := slices.IndexFunc(archtest.Rules(), func(r archtest.Rule) bool { return r.Name == rule })
	if i < 0 {
		t.Fatalf("no rule %s", rule)
	}
	var lines []string
	for _, v := range archtest.Check(tree, archtest.Rules()[i:i+1], nil) {
		if v.Fix == "" {
			t.Errorf("%v says nothing about what to do", v)
		}
		v.Fix = ""
		lines = append(lines, strings.TrimSuffix(v.String(), ":  ["+rule+"]"))
	}
	return lines
}

const (
	doc     = "// Package x is here.\npackage x\n"
	library = "github.com/alpespartners/alpespartners/"
)

func imports(pkg string, paths ...string) string {
	text := "package " + pkg + "\n"
	for _, p := range paths {
		text += "import _ \"" + p + "\"\n"
	}
	return text
}

// repeat returns n lines.
func repeat(n int, line string) string { return strings.Repeat(line+"\n", n) }

type planted struct {
	rule, name string
	tree       source
	want       []string
}

func TestRulesFindWhatIsPlanted(t *testing.T) {
	t.Parallel()
	for _, tc := range slices.Concat(importCases(), codeCases(), sizeCases(), suiteCases(), snippetCases()) {
		t.Run(tc.rule+"/"+tc.name, func(t *testing.T) {
			t.Parallel()
			if got := violations(t, tc.rule, tc.tree.load(t)); !slices.Equal(got, tc.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tc.want, "\n\t"))
			}
		})
	}
}

func TestEveryRuleIsPlanted(t *testing.T) {
	t.Parallel()
	cases := slices.Concat(importCases(), codeCases(), sizeCases(), suiteCases(), snippetCases())
	for _, r := range archtest.Rules() {
		fails := func(c planted) bool { return c.rule == r.Name && len(c.want) > 0 }
		passes := func(c planted) bool { return c.rule == r.Name && len(c.want) == 0 }
		if !slices.ContainsFunc(cases, fails) || !slices.ContainsFunc(cases, passes) {
			t.Errorf("rule %s needs a case that fails and one that passes", r.Name)
		}
	}
}

func importCases() []planted {
	return []planted{
		{"arrow", "wrong way", source{"cqrs/a.go": imports("cqrs", "context", library+"messaging")}, []string{
			`cqrs/a.go:3: imports "github.com/alpespartners/alpespartners/messaging"`,
		}},
		{"arrow", "vendor in the vocabulary", source{"saga/a.go": imports("saga", "github.com/google/uuid")}, []string{
			`saga/a.go:2: imports "github.com/google/uuid"`,
		}},
		{"arrow", "up from a driver", source{"saga/memsaga/a.go": imports("memsaga", library+"alpes/campaign")}, []string{
			`saga/memsaga/a.go:2: imports "github.com/alpespartners/alpespartners/alpes/campaign"`,
		}},
		{"arrow", "test dependency in production", source{"messaging/a.go": imports("messaging", "testing", "pgregory.net/rapid")}, []string{
			`messaging/a.go:2: imports "testing"`, `messaging/a.go:3: imports "pgregory.net/rapid"`,
		}},
		{"arrow", "server in a library's test", source{"saga/a_test.go": imports("saga_test", library+"server/app")}, []string{
			`saga/a_test.go:2: imports "github.com/alpespartners/alpespartners/server/app"`,
		}},
		{"arrow", "unknown package", source{"util/a.go": "package util\n"}, []string{"util: package is not in the design"}},
		{"arrow", "allowed", source{
			"saga/a_test.go":           imports("saga_test", library+"saga/sagatest", "pgregory.net/rapid"),
			"saga/coordinator/a.go":    imports("coordinator", library+"saga", library+"messaging", "github.com/google/uuid"),
			"saga/sagatest/a.go":       imports("sagatest", "testing", "pgregory.net/rapid", library+"saga/coordinator"),
			"server/web/a.go":          imports("web", "github.com/danielgtaylor/huma/v2/adapters/humago", library+"alpes/campaign"),
			"server/web/testdata/a.go": "not parsed",
			"_old/a.go":                "not parsed",
			"tools/go.mod":             "module tools",
			"tools/a.go":               "not parsed",
		}, nil},
		{"fence", "vendors outside", source{
			"messaging/memmsg/a_test.go": imports("memmsg", "github.com/hamba/avro/v2", "github.com/apache/pulsar-client-go/pulsar"),
			"server/app/a.go":            imports("app", "github.com/jmoiron/sqlx", "modernc.org/sqlite"),
		}, []string{
			`messaging/memmsg/a_test.go:2: imports "github.com/hamba/avro/v2"`,
			`messaging/memmsg/a_test.go:3: imports "github.com/apache/pulsar-client-go/pulsar"`,
			`server/app/a.go:2: imports "github.com/jmoiron/sqlx"`,
			`server/app/a.go:3: imports "modernc.org/sqlite"`,
		}},
		{"fence", "inside", source{
			"messaging/avromsg/a.go":    imports("avromsg", "github.com/hamba/avro/v2"),
			"messaging/pulsarmsg/a.go":  imports("pulsarmsg", "github.com/apache/pulsar-client-go/pulsar"),
			"saga/sqlsaga/a.go":         imports("sqlsaga", "github.com/jmoiron/sqlx"),
			"internal/sqldb/a.go":       imports("sqldb", "github.com/jmoiron/sqlx", "modernc.org/sqlite"),
			"messaging/inbox/a_test.go": imports("inbox", "github.com/jmoiron/sqlx"),
			"examples/03/a.go":          imports("main", "github.com/jmoiron/sqlx"),
		}, nil},
	}
}

func codeCases() []planted {
	return []planted{
		{"pure", "saga", source{
			"saga/a.go": "package saga\nimport (\n\"context\"\n\"fmt\"\nclock \"time\"\n\"math/rand/v2\"\n\"sync\"\n)\n" +
				"var now = clock.Now\nfunc f(c context.Context) {\ngo f(c)\nfmt.Println(rand.Int())\nselect {}\n}\nvar _ sync.Mutex\n",
		}, []string{
			`saga/a.go:3: imports "context"`, `saga/a.go:6: imports "math/rand/v2"`, `saga/a.go:7: imports "sync"`,
			"saga/a.go:9: uses time.Now", "saga/a.go:11: starts a goroutine", "saga/a.go:12: uses fmt.Println", "saga/a.go:13: uses a channel",
		}},
		{"pure", "others", source{
			"alpes/campaign/a.go": "package campaign\nimport \"time\"\nvar t = time.Now()\n",
			"cqrs/a.go":           "package cqrs\nimport \"time\"\nvar t = time.Since\n",
			"messaging/a.go":      "package messaging\nimport \"time\"\nfunc f() { go f(); time.Sleep(1) }\n",
		}, []string{"alpes/campaign/a.go:3: uses time.Now", "cqrs/a.go:3: uses time.Since", "messaging/a.go:3: uses time.Sleep"}},
		{"pure", "allowed", source{
			"saga/a.go":             "package saga\nimport \"time\"\nfunc f(now time.Time) time.Time { return now.Add(time.Second) }\n",
			"saga/a_test.go":        "package saga\nimport \"time\"\nvar t = time.Now()\n",
			"saga/coordinator/a.go": "package coordinator\nimport \"time\"\nvar t = time.Now\n",
		}, nil},
		{"map-order", "loop", source{
			"saga/a.go": "package saga\ntype m map[string]int\ntype t struct{ x m }\nfunc (v *t) f() {\nfor range v.x {\n}\n}\n",
		}, []string{"saga/a.go:5: loops over a map"}},
		{"map-order", "allowed", source{
			"saga/a.go": "package saga\nimport (\n\"maps\"\n\"slices\"\n)\nfunc f(m map[string]int, s []int) {\n" +
				"for range slices.Sorted(maps.Keys(m)) {\n}\nfor range s {\n}\n}\n",
			"cqrs/a.go": "package cqrs\nfunc f(m map[string]int) {\nfor range m {\n}\n}\n",
		}, nil},
		{"panic", "outside Must", source{
			"x/a.go": "package x\nfunc f() { panic(1) }\nvar v = func() int { panic(2) }\n",
		}, []string{"x/a.go:2: panics", "x/a.go:3: panics"}},
		{"panic", "allowed", source{
			"x/a.go":      "package x\nimport \"net/http\"\nfunc MustF() { panic(1) }\nfunc g() { panic(http.ErrAbortHandler) }\n",
			"x/a_test.go": "package x\nfunc h() { panic(1) }\n",
		}, nil},
		{"global", "variables", source{
			"x/a.go": "package x\nvar (\na int\nb = map[string]int{}\n)\nvar c, d = f(), 1\n",
		}, []string{
			"x/a.go:3: package variable a", "x/a.go:4: package variable b",
			"x/a.go:6: package variable c", "x/a.go:6: package variable d",
		}},
		{"global", "allowed", source{
			"x/a.go": "package x\nimport (\n\"embed\"\n\"errors\"\n\"regexp\"\n)\nvar ErrA = errors.New(\"a\")\n" +
				"var re = regexp.MustCompile(\"a\")\nvar files embed.FS\nvar _ error = ErrA\nvar s = MustMake[int]()\n",
			"x/a_test.go": "package x\nvar v int\n",
		}, nil},
		{"sleep", "in a test", source{
			"x/a_test.go":      "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }\n",
			"x/xtest/suite.go": "package xtest\nimport \"time\"\nvar wait = time.Sleep\n",
		}, []string{"x/a_test.go:3: sleeps in a test", "x/xtest/suite.go:3: sleeps in a test"}},
		{"sleep", "in a bubble", source{
			"x/a_test.go": "package x\nimport (\n\"testing\"\n\"testing/synctest\"\n\"time\"\n)\n" +
				"func TestX(t *testing.T) { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }\n",
		}, nil},
		{"document", "nothing said", source{
			"x/a.go": "package x\nfunc F() {}\ntype T struct{}\nfunc (*T) M() {}\nconst C = 1\nvar V, w int\n" +
				"// I is documented.\ntype I interface{ M() }\n",
			"cmd/x/main.go": "package main\n",
		}, []string{
			"cmd/x: package has no comment", "x: package has no comment",
			"x/a.go:2: F is exported and has no comment", "x/a.go:3: T is exported and has no comment",
			"x/a.go:4: T.M is exported and has no comment", "x/a.go:5: C is exported and has no comment",
			"x/a.go:6: V is exported and has no comment", "x/a.go:8: I.M is exported and has no comment",
		}},
		{"document", "said", source{
			"x/doc.go": doc,
			"x/a.go": "package x\n// F is said.\nfunc F() {}\ntype t struct{}\nfunc (t) M() {}\n// E is said.\ntype E struct{}\nfunc (E) Error() string { return \"\" }\n" +
				"// The kinds.\nconst (\nA = iota\nB\n)\n",
			"cmd/x/main.go": "// Command x is here.\npackage main\nfunc F() {}\n",
		}, nil},
	}
}

func sizeCases() []planted {
	wide := "package x\ntype small interface {\nA(); B(); C(); D()\n}\ntype wide interface {\nsmall\nE(); F(); G(); H()\n}\n"
	many := source{"x/a.go": "package x\n" + repeat(600, "//"), "x/b.go": wide, "x/c.go": "package x\nfunc f() {\n" + repeat(79, "//") + "}\n"}
	for name := range strings.SplitSeq("d e f g h i j k l m", " ") {
		many["x/"+name+".go"] = "package x\n"
	}
	return []planted{
		{"size", "too large", many, []string{
			"x: package of 13 files besides tests, at most 12",
			"x/a.go: file of 601 lines, at most 600",
			"x/b.go:5: interface wide has 8 methods, at most 7",
			"x/c.go:2: f has 81 lines, at most 80",
		}},
		{"size", "at the limit", source{
			"x/a.go":      "package x\n" + repeat(599, "//"),
			"x/b.go":      "package x\ntype i interface { A(); B(); C(); D(); E(); F(); G() }\nfunc f() {\n" + repeat(78, "//") + "}\n",
			"x/gen.go":    "// Code generated by x. DO NOT EDIT.\n\npackage x\n" + repeat(900, "//"),
			"x/c_test.go": "package x\nfunc f() {\n" + repeat(200, "//") + "}\n",
		}, nil},
	}
}

func suiteCases() []planted {
	home := source{"messaging/a.go": "package messaging\ntype Codec interface{}\n"}
	with := func(more source) source {
		maps.Copy(more, home)
		return more
	}
	const (
		run    = "package messagingtest\nfunc RunCodec() {}\n"
		driver = "package avromsg\n"
		other  = "package json\nimport \"" + library + "messaging\"\nvar _ messaging.Codec = (*c)(nil)\n"
		calls  = "package avromsg\nimport \"" + library + "messaging/messagingtest\"\nfunc f() { messagingtest.RunCodec() }\n"
	)
	return []planted{
		{"suite", "no suite", with(source{"messaging/messagingtest/a.go": "package messagingtest\n"}), []string{
			"messaging/messagingtest: no RunCodec",
		}},
		{"suite", "not run", with(source{
			"messaging/messagingtest/a.go": run, "messaging/avromsg/a.go": driver, "alpes/json/a.go": other,
		}), []string{
			"alpes/json: implements messaging.Codec and does not run its suite",
			"messaging/avromsg: implements messaging.Codec and does not run its suite",
		}},
		{"suite", "run", with(source{
			"messaging/messagingtest/a.go": run, "messaging/avromsg/a.go": driver, "messaging/avromsg/a_test.go": calls,
		}), nil},
		{"suite", "nothing there yet", home, nil},
	}
}

func snippetCases() []planted {
	const code = "package x\nfunc f() {\n\t// One:begin\n\tif a {\n\t\tb()\n\n\t}\n\t// One:end\n}\n"
	readme := func(body string) string {
		return "# X\n\n<!-- example: x/x_test.go#One -->\n\n```go\n" + body + "```\n"
	}
	return []planted{
		{"snippet", "differs", source{"x/x_test.go": code, "README.md": readme("if a {\n\tc()\n\n}\n")}, []string{
			"README.md:3: line 2 differs from x/x_test.go",
		}},
		{"snippet", "missing", source{"README.md": readme("")}, []string{
			"README.md:3: open x/x_test.go: file does not exist",
		}},
		{"snippet", "no block", source{"x/x_test.go": code, "x/README.md": "<!-- example: x/x_test.go#One -->\ntext\n"}, []string{
			"x/README.md:1: no go block follows",
		}},
		{"snippet", "not marked", source{"x/x_test.go": "package x\n", "README.md": readme("")}, []string{
			"README.md:3: x/x_test.go has no snippet One",
		}},
		{"snippet", "equal", source{"x/x_test.go": code, "README.md": readme("if a {\n\tb()\n\n}\n")}, nil},
	}
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	tree := source{"x/a.go": "package x\nfunc f() { panic(1) }\n"}.load(t)
	for _, tc := range []struct {
		name       string
		exceptions []archtest.Exception
		want       string
	}{
		{"taken off", []archtest.Exception{{Rule: "panic", File: "x/a.go", Symbol: "f", Reason: "because"}}, ""},
		{"without a reason", []archtest.Exception{{Rule: "panic", File: "x/a.go", Symbol: "f"}}, "exception to panic without a reason"},
		{"not needed", []archtest.Exception{
			{Rule: "panic", File: "x/a.go", Symbol: "f", Reason: "because"},
			{Rule: "panic", File: "x/b.go", Symbol: "f", Reason: "because"},
		}, "exception to panic that nothing needs"},
		{"of another symbol", []archtest.Exception{{Rule: "panic", File: "x/a.go", Symbol: "g", Reason: "because"}}, "panics"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			for _, v := range archtest.Check(tree, archtest.Rules(), tc.exceptions) {
				if v.Rule == "panic" || v.Rule == "exception" {
					found = append(found, v.What)
				}
			}
			if tc.want == "" && len(found) > 0 || tc.want != "" && !slices.Contains(found, tc.want) {
				t.Errorf("got %q, want %q", found, tc.want)
			}
		})
	}
}
