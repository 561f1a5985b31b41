package archtest

// The design in tables. They are functions because the module has no package variables.

// layer says what a package may import besides the standard library.
type layer struct {
	dir    string   // a directory, or "x/..." for x and all below
	module []string // packages of this module
	vendor []string // other modules
}

const (
	avro      = "github.com/hamba/avro"
	backoff   = "github.com/cenkalti/backoff"
	currency  = "github.com/bojanz/currency"
	docker    = "github.com/testcontainers/testcontainers-go"
	goose     = "github.com/pressly/goose"
	huma      = "github.com/danielgtaylor/huma"
	kong      = "github.com/alecthomas/kong"
	moby      = "github.com/moby/moby"
	mysql     = "github.com/go-sql-driver/mysql"
	otel      = "go.opentelemetry.io/otel"
	pgx       = "github.com/jackc/pgx"
	prom      = "github.com/prometheus/client_golang"
	pulsar    = "github.com/apache/pulsar-client-go"
	toxiproxy = "github.com/Shopify/toxiproxy"
	zerolog   = "github.com/rs/zerolog"
	sqlite    = "modernc.org/sqlite"
	sqlx      = "github.com/jmoiron/sqlx"
	uuid      = "github.com/google/uuid"
)

// layers returns one row for each package; the first that fits a directory counts.
func layers() []layer {
	var (
		root     = []string{".", "saga/...", "cqrs", "messaging/...", "alpes/...", "server/...", "internal/..."}
		barrier  = []string{"messaging", "messaging/outbox", "messaging/inbox"}
		sagas    = []string{"saga", "saga/coordinator", "messaging", "messaging/outbox", "messaging/inbox"}
		domain   = []string{"alpes/rule", "cqrs", "messaging"}
		services = []string{"alpes/campaign", "alpes/partner", "alpes/tracking", "alpes/rule"}
	)
	return []layer{
		{dir: "."},
		// The vocabulary: the standard library and what makes a text legible, and none knows another.
		{dir: "saga", module: []string{"internal/legible"}},
		{dir: "cqrs"},
		{dir: "messaging", module: []string{"internal/legible"}},
		{dir: "saga/picture", module: []string{"saga"}},
		// The shell of sagas and its stores.
		{dir: "saga/coordinator", module: []string{"saga", "messaging", "messaging/outbox", "messaging/inbox", "internal/pace", "internal/legible"}, vendor: []string{uuid, backoff}},
		{dir: "saga/memsaga", module: sagas},
		{dir: "saga/sqlsaga", module: append(sagas, "messaging/sqlmsg", "internal/sqldb", "internal/legible"), vendor: []string{sqlx, goose}},
		{dir: "saga/sagatest/...", module: []string{"saga/...", "messaging/..."}, vendor: []string{uuid}},
		// Messaging: relay, barrier and drivers.
		{dir: "messaging/outbox", module: []string{"messaging"}, vendor: []string{backoff}},
		{dir: "messaging/inbox", module: []string{"messaging", "messaging/outbox", "internal/pace", "internal/legible"}, vendor: []string{uuid, backoff}},
		{dir: "messaging/memmsg", module: barrier},
		{dir: "messaging/pulsarmsg", module: []string{"messaging", "internal/pace"}, vendor: []string{pulsar, prom}},
		{dir: "messaging/avromsg", module: []string{"messaging"}, vendor: []string{avro}},
		{dir: "messaging/otelmsg", module: []string{"messaging"}, vendor: []string{otel}},
		{dir: "messaging/sqlmsg", module: append(barrier, "internal/sqldb", "internal/legible"), vendor: []string{sqlx, goose, uuid}},
		{dir: "messaging/messagingtest", module: []string{"messaging/..."}, vendor: []string{uuid}},
		// The reference domain.
		{dir: "alpes"},
		{dir: "alpes/rule", vendor: []string{uuid, currency}},
		{dir: "alpes/campaign", module: domain, vendor: []string{uuid, currency}},
		{dir: "alpes/partner", module: domain, vendor: []string{uuid}},
		{dir: "alpes/tracking", module: domain, vendor: []string{uuid}},
		{dir: "alpes/registration", module: append(services, "saga", "messaging"), vendor: []string{uuid}},
		{dir: "alpes/wire", module: append(services, "messaging", "messaging/avromsg"), vendor: []string{uuid}},
		{dir: "alpes/sqlalpes", module: append(services, "cqrs", "messaging/...", "internal/sqldb"), vendor: []string{sqlx, goose, uuid}},
		{dir: "alpes/alpestest", module: []string{"alpes/...", "saga/...", "messaging/...", "cqrs"}, vendor: []string{uuid}},
		// The applications: wiring.
		{dir: "server/...", module: root, vendor: []string{kong, huma, uuid, backoff}},
		{dir: "examples/...", module: root, vendor: []string{sqlx, sqlite, pulsar, uuid}},
		// What only this module uses.
		{dir: "internal/archtest"},
		{dir: "internal/bench", module: root, vendor: []string{sqlx, uuid}},
		{dir: "internal/faults", module: root, vendor: []string{sqlx}},
		{dir: "internal/legible"},
		{dir: "internal/pace"},
		{dir: "internal/sqldb", vendor: []string{sqlx, goose, sqlite, pgx, mysql, backoff}},
		{dir: "internal/testenv", module: []string{"internal/sqldb", "messaging"}, vendor: []string{"go.uber.org/goleak", sqlx, sqlite, pgx, mysql, pulsar, docker, moby, toxiproxy, zerolog}},
	}
}

// applications returns what stands above the library: nothing else imports it, not even a test.
func applications() []string { return []string{"server/...", "examples/...", "internal/bench"} }

// testDependencies returns what never gets into a user's program.
func testDependencies() []string {
	return []string{"testing", "pgregory.net/rapid", "go.uber.org/goleak"}
}

// vendorFence keeps a module in the packages that hide it.
type vendorFence struct {
	module string
	inside []string
	tests  bool // tests of other packages may import it too
}

func fences() []vendorFence {
	sql := []string{"*/sql*", "internal/sqldb", "internal/testenv", "internal/bench", "examples/..."}
	return []vendorFence{
		{module: avro, inside: []string{"messaging/avromsg"}},
		{module: pulsar, inside: []string{"messaging/pulsarmsg", "internal/testenv", "internal/bench"}},
		{module: sqlx, inside: sql, tests: true},
		{module: sqlite, inside: sql, tests: true},
		{module: pgx, inside: sql, tests: true},
		{module: mysql, inside: sql, tests: true},
		{module: goose, inside: sql},
		{module: otel, inside: []string{"messaging/otelmsg"}},
		{module: huma, inside: []string{"server/..."}},
		{module: kong, inside: []string{"server/..."}},
		{module: currency, inside: []string{"alpes/..."}},
		{module: docker, inside: []string{"internal/testenv"}},
		{module: toxiproxy, inside: []string{"internal/testenv"}},
		{module: zerolog, inside: []string{"internal/testenv"}},
		{module: moby, inside: []string{"internal/testenv"}},
	}
}

// purity says what some packages may not use.
type purity struct {
	dirs       []string
	imports    []string
	names      []string
	goroutines bool   // they may start goroutines
	fix        string // what to do instead
}

func pure() []purity {
	clock := []string{
		"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc",
		"time.Tick", "time.NewTimer", "time.NewTicker",
	}
	output := []string{"fmt.Print", "fmt.Printf", "fmt.Println"}
	random := []string{"math/rand", "math/rand/v2", "crypto/rand"}
	ambient := append([]string{"context", "sync", "sync/atomic", "os", "net", "net/http", "log", "log/slog", "database/sql"}, random...)
	return []purity{
		{
			dirs: []string{"saga"}, imports: ambient, names: append(clock, output...),
			fix: "time and all else that varies is an argument, an effect is a value",
		},
		{
			dirs:    []string{"alpes/rule", "alpes/campaign", "alpes/partner", "alpes/tracking", "alpes/registration"},
			imports: random, names: append(clock, output...), fix: "take the time as an argument",
		},
		{
			dirs: []string{"cqrs"}, imports: random, names: append(clock, output...),
			fix: "leave clocks and output to the caller's hooks",
		},
		{
			// The router is a shell: it has timers, goroutines and a clock for its observations.
			dirs: []string{"messaging"}, imports: []string{"crypto/rand"}, names: append([]string{"time.Sleep"}, output...), goroutines: true,
			fix: "use timers that end with the context, and log with slog",
		},
	}
}

// ordered returns the packages whose results are the same byte for byte, so that no loop over a map may show.
func ordered() []string { return []string{"saga"} }

// suite ties an interface to its suite.
type suite struct {
	dir, name       string // the interface
	suiteDir, suite string // the function that tests one implementation
	drivers         []string
}

func suites() []suite {
	return []suite{
		{"messaging", "Broker", "messaging/messagingtest", "RunBroker", []string{"messaging/memmsg", "messaging/pulsarmsg"}},
		{"messaging", "Codec", "messaging/messagingtest", "RunCodec", []string{"messaging/avromsg"}},
		{"messaging/outbox", "Store", "messaging/messagingtest", "RunOutbox", []string{"messaging/sqlmsg"}},
		{"messaging/inbox", "Store", "messaging/messagingtest", "RunInbox", []string{"messaging/sqlmsg"}},
		{"saga/coordinator", "Store", "saga/sagatest", "RunStore", []string{"saga/memsaga", "saga/sqlsaga"}},
	}
}

// Exceptions returns the violations that are there for a reason.
func Exceptions() []Exception {
	return []Exception{
		{"size", "saga", "", "the core is one package, as its parts share what is not exported"},
		{"size", "saga/sqlsaga/bench_test.go", "benchStore", "the roles of a store together, to count what goes through it"},
		{"size", "saga/sqlsaga/model_test.go", "sagaStore", "the three roles of a store together, to compare two of them"},
		{"size", "internal/bench/partition.go", "partition", "the two roles of a store together, to spread both"},
		{"suite", "internal/bench", "RunStore", "a simulation: it promises no order of what several databases have"},
		{"suite", "internal/bench", "RunOutbox", "see RunStore"},
		{"global", "saga/state.go", "namespace", "an array cannot be a constant; nothing writes to it"},
		{"global", "saga/coordinator/start.go", "namespace", "an array cannot be a constant; nothing writes to it"},
		{"panic", "messaging/messagingtest/inbox.go", "inboxSuite.panics", "the case shows that a panic rolls back"},
	}
}
