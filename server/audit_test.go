//go:build unix

package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite"
)

// order is a registration as its client knows it.
type order struct {
	// name is the campaign's, and tells it from all others.
	name         string
	participants []string
	// compensated says that the system, as it is set up, has to refuse it somewhere; else it has to be completed.
	compensated bool
	// sagaID is what the server answered; "" if no answer came, and then there may be no saga.
	sagaID string
}

// books are the databases of the services that keep something, by service. Several services may have one.
type books map[string]*sql.DB

// services returns those that keep something.
func services() []string { return []string{"campaign", "partner", "tracking"} }

// audit checks a SQLite database at rest against the orders, with nothing but SQL: it knows no line of the engine. It returns every
// violation that it found.
func audit(ctx context.Context, db *sql.DB, orders []order) (figures, []string, error) {
	return auditBooks(ctx, books{"campaign": db, "partner": db, "tracking": db}, true, orders)
}

// auditBooks is audit for the databases of several processes, of any kind.
func auditBooks(ctx context.Context, of books, sqlite bool, orders []order) (figures, []string, error) {
	a := &auditor{ctx: ctx, books: of, sqlite: sqlite, orders: map[string]order{}, sagas: map[string]*sagaFacts{}, campaigns: map[string]*sagaFacts{}}
	for _, o := range orders {
		a.orders[o.name] = o
	}
	for _, check := range []func(){
		a.readSagas, a.readLog, a.readInbox, a.readEntities, // what there is
		a.everyOrderHasItsSaga, a.logsHaveNoGaps, a.commandsTookEffectOnce, a.nothingWasAppliedTwice, a.entitiesFit, a.partiesAgree, a.nothingIsLeftToDo,
	} {
		check()
		if a.err != nil {
			return a.figures, a.violations, a.err
		}
	}
	slices.Sort(a.violations)
	return a.figures, a.violations, nil
}

// figures are what an audit counted.
type figures struct{ sagas, choreographed, completed, compensated, commands, undos, bars int }

type auditor struct {
	ctx        context.Context // it is the audit's life
	books      books
	sqlite     bool
	orders     map[string]order
	sagas      map[string]*sagaFacts // by saga id
	campaigns  map[string]*sagaFacts // by campaign id
	figures    figures
	violations []string
	err        error
}

// sagaFacts is all that the tables say about one saga.
type sagaFacts struct {
	id, key, status string
	version         int
	order           order
	lines           []logLine
	entries         map[command]string // outcomes
	campaigns       []string           // status of each
	partners        map[string]string  // names by id
	events          []string           // the partners that they are for
	counted         int                // events, as the limit counts them
	watched         bool               // it is choreographed: its log tells what the watcher saw
	parties         map[string]string  // their status, by service
}

type logLine struct {
	version, line int
	kind          string
	command       command
}

// command is one of a saga's commands: "do" or "undo" of a node.
type command struct{ node, direction string }

func (a *auditor) fault(format string, args ...any) {
	a.violations = append(a.violations, fmt.Sprintf(format, args...))
}

// each scans every row of a query on a service's database into the targets and calls fn.
func (a *auditor) each(service string, fn func(), query string, targets ...any) {
	if a.err != nil {
		return
	}
	rows, err := a.books[service].QueryContext(a.ctx, query)
	if err != nil {
		a.err = fmt.Errorf("%s: %s: %w", service, query, err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		if a.err = rows.Scan(targets...); a.err != nil {
			return
		}
		fn()
	}
	a.err = rows.Err()
}

// everywhere is each on all databases.
func (a *auditor) everywhere(fn func(), query string, targets ...any) {
	seen := map[*sql.DB]bool{}
	for _, service := range services() {
		if db := a.books[service]; !seen[db] {
			seen[db] = true
			a.each(service, fn, query, targets...)
		}
	}
}

func (a *auditor) readSagas() {
	var id, key, status, data string
	var version int
	a.each("campaign", func() {
		var content struct {
			Campaign struct {
				Name string `json:"name"`
			} `json:"campaign"`
		}
		if err := json.Unmarshal([]byte(data), &content); err != nil {
			a.fault("saga %s: its data is no JSON: %v", id, err)
		}
		o, known := a.orders[content.Campaign.Name]
		if !known {
			a.fault("saga %s: nobody ordered %q", id, content.Campaign.Name)
		}
		s := &sagaFacts{
			id: id, key: key, status: status, version: version, order: o, entries: map[command]string{}, partners: map[string]string{}, parties: map[string]string{},
		}
		a.sagas[id] = s
		if a.campaigns[key] != nil {
			a.fault("saga %s: campaign %s has another saga", id, key)
		}
		a.campaigns[key] = s
	}, "SELECT id, saga_key, status, version, data FROM sagas", &id, &key, &status, &version, &data)
}

func (a *auditor) readLog() {
	var id, kind, node, direction string
	var version, line int
	a.each("campaign", func() {
		s := a.sagas[id]
		if s == nil {
			a.fault("log: line %d.%d of an unknown saga %s", version, line, id)
			return
		}
		s.lines = append(s.lines, logLine{version, line, kind, command{node, direction}})
		s.watched = s.watched || kind == "awaited"
	}, "SELECT saga_id, version, line, kind, node, direction FROM saga_log ORDER BY saga_id, version, line", &id, &version, &line, &kind, &node, &direction)
}

// consumers says which participant a node's commands are for.
func consumer(node string) string {
	switch node[strings.LastIndexByte(node, '/')+1:] {
	case "partner":
		return "partner"
	case "conversion":
		return "tracking"
	default:
		return "campaign"
	}
}

func (a *auditor) readInbox() {
	var who, key, outcome string
	a.everywhere(func() {
		escaped, rest, _ := strings.Cut(key, "/")
		id, err := url.PathUnescape(escaped)
		s := a.sagas[id]
		if err != nil || s == nil {
			a.fault("inbox: %s remembers %s of an unknown saga", who, key)
			return
		}
		at := max(0, strings.LastIndexByte(rest, '/'))
		c := command{rest[:at], strings.TrimPrefix(rest[at:], "/")}
		if who != consumer(c.node) {
			a.fault("saga %s: %s handled %v", id, who, c)
		}
		if other, twice := s.entries[c]; twice {
			a.fault("saga %s: %v was handled twice: %s and %s", id, c, other, outcome)
		}
		s.entries[c] = outcome
	}, "SELECT consumer, entry_key, outcome FROM inbox", &who, &key, &outcome)
}

func (a *auditor) readEntities() {
	var id, campaign, what string
	var n int
	of := func(table string) *sagaFacts {
		s := a.campaigns[campaign]
		if s == nil {
			a.fault("%s: %s is of a campaign %s that no saga knows", table, id, campaign)
			return &sagaFacts{partners: map[string]string{}}
		}
		return s
	}
	a.each("campaign", func() { s := of("campaigns"); s.campaigns = append(s.campaigns, what) },
		"SELECT id, id AS campaign, status FROM campaigns", &id, &campaign, &what)
	a.each("partner", func() { of("partners").partners[id] = what }, "SELECT id, id_campaign, nombre FROM partners", &id, &campaign, &what)
	a.each("tracking", func() { s := of("eventos"); s.events = append(s.events, what) },
		"SELECT id, id_campana, id_partner FROM eventos", &id, &campaign, &what)
	a.each("tracking", func() { of("eventos_por_campana").counted = n },
		"SELECT 'a count', id_campana, cantidad FROM eventos_por_campana", &id, &campaign, &n)
}

// everyOrderHasItsSaga: one for each that was acknowledged, at most one for the others, and it ended as it had to.
func (a *auditor) everyOrderHasItsSaga() {
	found := map[string]int{}
	for _, s := range a.sagas {
		found[s.order.name]++
		want := "completed"
		if s.order.compensated {
			want = "compensated"
		}
		switch {
		case s.status != want:
			a.fault("saga %s: it is %s, must be %s", s.id, s.status, want)
		case s.order.sagaID != "" && s.order.sagaID != s.id:
			a.fault("saga %s: %s was acknowledged as %s", s.id, s.order.name, s.order.sagaID)
		}
		switch s.status {
		case "completed":
			a.figures.completed++
		case "compensated":
			a.figures.compensated++
		}
	}
	a.figures.sagas = len(a.sagas)
	for _, s := range a.sagas {
		if s.watched {
			a.figures.choreographed++
		}
	}
	for _, o := range a.orders {
		switch n := found[o.name]; {
		case n > 1:
			a.fault("%s has %d sagas", o.name, n)
		case n == 0 && o.sagaID != "":
			a.fault("%s was acknowledged as saga %s, which is not there", o.name, o.sagaID)
		}
	}
}

// logsHaveNoGaps: versions 1, 2, 3 … up to the saga's own, each with its lines 0, 1, 2 … A watcher tells nothing of an answer that it keeps until its turn.
func (a *auditor) logsHaveNoGaps() {
	for _, s := range a.sagas {
		at := logLine{version: 0, line: 0}
		for _, l := range s.lines {
			next := (l.version == at.version+1 || s.watched && l.version > at.version) && l.line == 0 || l.version == at.version && l.line == at.line+1
			if !next {
				a.fault("saga %s: its log goes from %d.%d to %d.%d", s.id, at.version, at.line, l.version, l.line)
			}
			at = l
		}
		if at.version != s.version {
			a.fault("saga %s: it is at version %d, its log ends at %d", s.id, s.version, at.version)
		}
		if at.kind != s.status {
			a.fault("saga %s: it is %s, its log ends with %s", s.id, s.status, at.kind)
		}
	}
}

// commandsTookEffectOnce: what the coordinator believes is what the participants remember, command by command. A watcher may see things late
// or not at all: of its sagas only the participants are asked.
func (a *auditor) commandsTookEffectOnce() {
	for _, s := range a.sagas {
		if s.watched {
			for c, outcome := range s.entries {
				a.outcome(s, c, outcome, "")
			}
			continue
		}
		sent, answered := map[command]bool{}, map[command]string{}
		for _, l := range s.lines {
			switch l.kind {
			case "sent":
				sent[l.command] = true
			case "succeeded", "refused", "undone":
				if before := answered[l.command]; before != "" {
					a.fault("saga %s: %v %s and %s", s.id, l.command, before, l.kind)
				}
				answered[l.command] = l.kind
			case "started", "fanned-out", "aborted", "completed", "compensated":
			default:
				a.fault("saga %s: %v %s", s.id, l.command, l.kind)
			}
		}
		for c := range sent {
			if s.entries[c] == "" {
				a.fault("saga %s: %v was sent and never handled", s.id, c)
			}
		}
		for c, outcome := range s.entries {
			if !sent[c] && outcome != "nothing" {
				a.fault("saga %s: %v was handled and never sent", s.id, c)
			}
			a.outcome(s, c, outcome, answered[c])
		}
	}
}

// outcome compares what a participant remembers of a command with the coordinator's log, and with the saga's end.
func (a *auditor) outcome(s *sagaFacts, c command, outcome, logged string) {
	want := map[command]string{
		{"do", "success"}: "succeeded", {"do", "failure"}: "refused", {"do", "nothing"}: "",
		{"undo", "success"}: "undone", {"undo", "nothing"}: "undone",
	}
	if expected, ok := want[command{c.direction, outcome}]; !ok || expected != logged && !s.watched {
		a.fault("saga %s: %v ended with %s, the log says %q", s.id, c, outcome, logged)
	}
	undo := s.entries[command{c.node, "undo"}]
	switch {
	case c.direction == "undo" && s.status == "completed":
		a.fault("saga %s: %s was undone in a completed saga", s.id, c.node)
	case c.direction == "undo" && outcome == "nothing":
		a.figures.bars++
	case c.direction == "undo":
		a.figures.undos++
	case outcome == "success" && s.status == "compensated" && undo != "success":
		a.fault("saga %s: %s was done and not undone: %q", s.id, c.node, undo)
	case outcome == "failure" && s.watched && undo == "nothing": // its service learned of another's refusal before its own
	case outcome == "failure" && undo != "":
		a.fault("saga %s: %s was refused and undone", s.id, c.node)
	}
	if c.direction == "do" {
		a.figures.commands++
	}
}

// nothingWasAppliedTwice: each table's counter, which only ever grows and rolls back with its transaction, has counted exactly the
// commands that were remembered as done, those included whose rows are gone again. Counters of database servers do not roll back.
func (a *auditor) nothingWasAppliedTwice() {
	if !a.sqlite {
		return
	}
	done := map[string]int{}
	for _, s := range a.sagas {
		for c, outcome := range s.entries {
			if c.direction == "do" && outcome == "success" && c.node != "approve" {
				done[consumer(c.node)]++
			}
		}
	}
	inserted := map[string]int{}
	var table string
	var n int
	a.everywhere(func() { inserted[table] += n }, "SELECT name, seq FROM sqlite_sequence", &table, &n)
	for who, table := range map[string]string{"campaign": "campaigns", "partner": "partners", "tracking": "eventos"} {
		if done[who] != inserted[table] {
			a.fault("%s: %d rows were inserted by %d commands", table, inserted[table], done[who])
		}
	}
}

// entitiesFit: all of a completed registration, nothing of a compensated one.
func (a *auditor) entitiesFit() {
	for _, s := range a.sagas {
		var campaigns, names, fed []string
		if s.status == "completed" {
			campaigns, names, fed = []string{"active"}, s.order.participants, slices.Collect(maps.Keys(s.partners))
		}
		for _, c := range []struct {
			what      string
			got, want []string
		}{
			{"campaigns", s.campaigns, campaigns},
			{"partners", slices.Collect(maps.Values(s.partners)), names},
			{"events of partners", s.events, fed},
		} {
			if got, want := sorted(c.got), sorted(c.want); !slices.Equal(got, want) {
				a.fault("saga %s, %s: its %s are %q, must be %q", s.id, s.status, c.what, got, want)
			}
		}
		if s.counted != len(s.events) {
			a.fault("saga %s: %d events are counted as %d", s.id, len(s.events), s.counted)
		}
	}
}

// partiesAgree: every service's part in a choreographed saga came to the same end, and there are none in others.
func (a *auditor) partiesAgree() {
	for _, service := range services() {
		var id, status string
		a.each(service, func() {
			s := a.sagas[id]
			if s == nil || !s.watched {
				a.fault("%s takes part in %s, which is not choreographed", service, id)
				return
			}
			s.parties[service] = status
		}, "SELECT id, status FROM "+service+"_sagas", &id, &status)
		for _, s := range a.sagas {
			if s.watched && s.parties[service] != s.status {
				a.fault("saga %s: it is %s, %s's part is %q", s.id, s.status, service, s.parties[service])
			}
		}
	}
}

func sorted[T cmp.Ordered](list []T) []T { return slices.Sorted(slices.Values(list)) }

func (a *auditor) nothingIsLeftToDo() {
	var topic, id, what string
	a.everywhere(func() { a.fault("outbox: %s %s was not published", topic, id) }, "SELECT topic, id FROM outbox", &topic, &id)
	a.everywhere(func() { a.fault("dead letter: %s %s: %s", topic, id, what) }, "SELECT topic, id, reason FROM dead_letters", &topic, &id, &what)
	if a.sqlite {
		a.everywhere(func() { a.fault("integrity: %s", what) }, "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'", &what)
	}
}

// openData opens a server's file beside it, to read only.
func openData(path string) (*sql.DB, error) {
	return sql.Open("sqlite", (&url.URL{
		Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "_pragma=query_only(1)&_pragma=busy_timeout(10000)",
	}).String())
}
