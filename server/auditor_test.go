//go:build unix

package main

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestAuditFindsWhatIsWrong plants violations in the database of a server that served one registration of each kind.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	file, orders := serveTwo(t)
	find := func(t *testing.T, orders []order, plant ...string) []string {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := copyFile(copied, file); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", copied)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, statement := range plant {
			done, err := db.ExecContext(t.Context(), statement)
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				t.Fatalf("%s: changed %d rows, %v", statement, n, err)
			}
		}
		_, violations, err := audit(t.Context(), db, orders)
		if err != nil {
			t.Fatal(err)
		}
		return violations
	}
	if violations := find(t, orders); len(violations) > 0 {
		t.Fatalf("nothing was planted, yet: %q", violations)
	}

	const (
		completed   = "(SELECT saga_key FROM sagas WHERE status = 'completed')"
		compensated = "(SELECT saga_key FROM sagas WHERE status = 'compensated')"
		good        = "(SELECT id FROM sagas WHERE status = 'completed')"
		bad         = "(SELECT id FROM sagas WHERE status = 'compensated')"
	)
	for name, c := range map[string]struct {
		plant []string
		want  string // a part of one of the violations
	}{
		"partner left behind": {[]string{`INSERT INTO partners (id, id_campaign, nombre, tipo, informacion_perfil)
			VALUES ('p', ` + compensated + `, 'participant 0', 'affiliate', '')`}, `compensated: its partners are ["participant 0"], must be []`},
		"event left behind": {[]string{`INSERT INTO eventos (id, id_partner, id_campana, fecha) VALUES ('e', 'p', ` + compensated + `, 0)`},
			`compensated: its events of partners are ["p"], must be []`},
		"campaign left behind": {[]string{`INSERT INTO campaigns (id, nombre, presupuesto, divisa, marca_id, participantes, status, version)
			VALUES (` + compensated + `, '', '', '', '', '[]', 'pending', 1)`}, `compensated: its campaigns are ["pending"], must be []`},
		"event twice": {[]string{`INSERT INTO eventos (id, id_partner, id_campana, fecha) SELECT 'e', id_partner, id_campana, fecha FROM eventos LIMIT 1`},
			"completed: its events of partners are"},
		"event missing":     {[]string{"DELETE FROM eventos WHERE seq = (SELECT MIN(seq) FROM eventos)"}, "completed: its events of partners are"},
		"partner missing":   {[]string{"DELETE FROM partners WHERE id_campaign = " + completed}, "completed: its partners are [], must be"},
		"campaign pending":  {[]string{"UPDATE campaigns SET status = 'pending'"}, `completed: its campaigns are ["pending"], must be ["active"]`},
		"events miscounted": {[]string{"UPDATE eventos_por_campana SET cantidad = cantidad + 1 WHERE id_campana = " + compensated}, "0 events are counted as 1"},
		"row of nobody":     {[]string{"UPDATE partners SET id_campaign = 'x'"}, "is of a campaign x that no saga knows"},
		"applied twice, and taken back once": {[]string{"UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'partners'"},
			"partners: 5 rows were inserted by 4 commands"},
		"saga running":          {[]string{"UPDATE sagas SET status = 'running' WHERE status = 'completed'"}, "it is running, must be completed"},
		"saga parked":           {[]string{"UPDATE sagas SET status = 'parked' WHERE status = 'compensated'"}, "it is parked, must be compensated"},
		"saga ended wrongly":    {[]string{"UPDATE sagas SET status = 'compensated'"}, "it is compensated, must be completed"},
		"saga lost":             {[]string{"DELETE FROM sagas WHERE status = 'completed'"}, "which is not there"},
		"saga of nobody":        {[]string{"UPDATE sagas SET data = replace(CAST(data AS TEXT), 'campaign 0', 'campaign 9')"}, `nobody ordered "campaign 9"`},
		"two sagas for one":     {[]string{"UPDATE sagas SET data = replace(CAST(data AS TEXT), 'campaign 0', 'campaign 1')"}, "campaign 1 has 2 sagas"},
		"another id than known": {[]string{"UPDATE sagas SET id = 'x' WHERE status = 'completed'"}, "was acknowledged as"},
		"version missing in log": {[]string{"DELETE FROM saga_log WHERE version = 2 AND saga_id = " + good},
			"its log goes from 1.1 to 3.0"},
		"line missing in log":  {[]string{"DELETE FROM saga_log WHERE version = 1 AND line = 0 AND saga_id = " + good}, "its log goes from 0.0 to 1.1"},
		"end missing in log":   {[]string{"DELETE FROM saga_log WHERE kind = 'completed'"}, "its log ends with"},
		"version without log":  {[]string{"UPDATE sagas SET version = version + 1"}, ", its log ends at"},
		"log of nobody":        {[]string{"UPDATE saga_log SET saga_id = 'x' WHERE version = 1 AND line = 0 AND saga_id = " + good}, "of an unknown saga x"},
		"command done twice":   {[]string{"UPDATE saga_log SET kind = 'succeeded', node = 'campaign', direction = 'do' WHERE kind = 'fanned-out'"}, "{campaign do} succeeded and succeeded"},
		"command timed out":    {[]string{"UPDATE saga_log SET kind = 'timed-out' WHERE kind = 'refused'"}, "timed-out"},
		"command never sent":   {[]string{"DELETE FROM saga_log WHERE kind = 'sent' AND node = 'approve'"}, "{approve do} was handled and never sent"},
		"command never heard":  {[]string{"DELETE FROM inbox WHERE entry_key LIKE '%/approve/do'"}, "{approve do} was sent and never handled"},
		"command at another's": {[]string{"UPDATE inbox SET consumer = 'partner' WHERE entry_key LIKE '%/approve/do'"}, "partner handled {approve do}"},
		"command at two": {[]string{`INSERT INTO inbox SELECT 'tracking', entry_key, epoch, outcome, reply_id, reply_topic, reply_key, reply_type,
			reply_headers, reply_payload, handled_at, saga_started FROM inbox WHERE entry_key LIKE '%/approve/do'`}, "{approve do} was handled twice"},
		"memory of nobody": {[]string{"UPDATE inbox SET entry_key = 'x/approve/do' WHERE entry_key LIKE '%/approve/do'"}, "of an unknown saga"},
		"outcome is not what the log says": {[]string{"UPDATE inbox SET outcome = 'failure' WHERE entry_key LIKE '%/approve/do'"},
			`{approve do} ended with failure, the log says "succeeded"`},
		"done and not undone": {[]string{
			"DELETE FROM inbox WHERE entry_key = " + bad + " || '/campaign/undo'",
			"DELETE FROM saga_log WHERE node = 'campaign' AND direction = 'undo'",
		}, "campaign was done and not undone"},
		"undone in a completed saga": {[]string{"INSERT INTO inbox SELECT consumer, " + good + ` || '/campaign/undo', epoch, outcome, reply_id,
			reply_topic, reply_key, reply_type, reply_headers, reply_payload, handled_at, saga_started FROM inbox WHERE entry_key = ` + bad + " || '/campaign/undo'"},
			"campaign was undone in a completed saga"},
		"message left": {[]string{"INSERT INTO outbox (id, topic, message_key, type, headers, payload) VALUES ('m', 'topic', '', '', '', '')"},
			"outbox: topic m was not published"},
		"dead letter": {[]string{`INSERT INTO dead_letters (subscription, identity, id, broker_id, topic, message_key, type, headers, payload, reason,
			attempts, failed_at) VALUES ('s', 'i', 'm', '', 'topic', '', '', '', '', 'because', 1, 0)`}, "dead letter: topic m: because"},
	} {
		t.Run(name, func(t *testing.T) {
			violations := find(t, orders, c.plant...)
			if !slices.ContainsFunc(violations, func(v string) bool { return strings.Contains(v, c.want) }) {
				t.Errorf("no violation says %q: %q", c.want, violations)
			}
		})
	}

	t.Run("an order that was not acknowledged may have no saga", func(t *testing.T) {
		if violations := find(t, append(slices.Clone(orders), order{name: "campaign 2"})); len(violations) > 0 {
			t.Errorf("%q", violations)
		}
	})
}

// serveTwo has a server complete one registration and compensate another, and returns its file.
func serveTwo(t *testing.T) (file string, orders []order) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "two.db")
	p := start(t, dir, nil, "--listen", "127.0.0.1:0", "--data", file, "--log-level", "error",
		"--partner-blocked", blocked, "--tracking-limit", strconv.Itoa(limit))
	base := p.url(t, "bff")
	clients := newCrowd(1, nil)
	clients.turn(base)
	for _, o := range []*order{
		{name: "campaign 0", participants: []string{"participant 0", "participant 1"}},
		{name: "campaign 1", participants: []string{"participant 0", blocked, "participant 2"}, compensated: true},
	} {
		path, body := requestOf(o, "")
		id, err := clients.post(t.Context(), base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		clients.orders[o.name] = o
		clients.acknowledged(o, id, base)
	}
	if _, err := clients.watch(t.Context(), base, func(active int) bool { return active == 0 }); err != nil {
		t.Fatal(err)
	}
	if code := p.terminate(t); code != 0 {
		t.Fatalf("exit code %d after %v\n%s", code, time.Since(p.began), p.stderr)
	}
	return file, clients.placed()
}
