package sqlalpes

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/alpes/tracking"
)

// Events keeps tracking events in the table eventos, and each campaign's number of them in
// eventos_por_campana. Add and Remove write both: call them in a transaction.
type Events struct {
	conn
}

var (
	_ tracking.Repository = (*Events)(nil)
	_ tracking.Views      = (*Events)(nil)
)

// NewEvents returns the tracking events in ext, a pool or a transaction. A call whose context carries another
// transaction, see [WithTx], runs in that one. With a nil ext all other calls return [ErrNoTx].
func NewEvents(ext sqlx.ExtContext) *Events { return &Events{conn{ext}} }

// eventRow is a row of the table eventos.
type eventRow struct {
	position
	ID         string `db:"id"`
	PartnerID  string `db:"id_partner"`
	CampaignID string `db:"id_campana"`
	OccurredAt int64  `db:"fecha"`
}

const selectEvents = "SELECT seq, id, id_partner, id_campana, fecha FROM eventos"

func (r eventRow) snapshot() tracking.Snapshot {
	return tracking.Snapshot{ID: r.ID, PartnerID: r.PartnerID, CampaignID: r.CampaignID, OccurredAt: time.UnixMilli(r.OccurredAt).UTC()}
}

func (r eventRow) view() tracking.View {
	return tracking.View{ID: r.ID, PartnerID: r.PartnerID, CampaignID: r.CampaignID, OccurredAt: time.UnixMilli(r.OccurredAt).UTC()}
}

// Count implements [tracking.Repository].
func (r *Events) Count(ctx context.Context, campaignID string) (int, error) {
	n, err := r.count(ctx, campaignID)
	if err != nil {
		return 0, fmt.Errorf("sqlalpes: count events: %w", err)
	}
	return n, nil
}

// count changes the campaign's row first: that holds it, and makes its latest content visible even to a
// transaction that reads from an older snapshot.
func (r *Events) count(ctx context.Context, campaignID string) (int, error) {
	if err := r.change(ctx, "version = version + 1", campaignID); err != nil {
		return 0, err
	}
	n, _, err := first[int](ctx, r.conn, "SELECT cantidad FROM eventos_por_campana WHERE id_campana = ?", campaignID)
	return n, err
}

// Add implements [tracking.Repository].
func (r *Events) Add(ctx context.Context, e tracking.Event) error {
	taken, err := r.exists(ctx, "eventos", e.ID())
	if err != nil {
		return fmt.Errorf("sqlalpes: add event: %w", err)
	}
	if taken {
		return tracking.ErrExists
	}
	if err := r.insert(ctx, e.Snapshot()); err != nil {
		return fmt.Errorf("sqlalpes: add event: %w", err)
	}
	return nil
}

func (r *Events) insert(ctx context.Context, s tracking.Snapshot) error {
	if err := r.change(ctx, "cantidad = cantidad + 1", s.CampaignID); err != nil {
		return err
	}
	_, err := r.exec(ctx, "INSERT INTO eventos (id, id_partner, id_campana, fecha) VALUES (?, ?, ?, ?)",
		s.ID, s.PartnerID, s.CampaignID, s.OccurredAt.UnixMilli())
	return err
}

// change changes the campaign's row, which is made if there is none. Of two transactions that find none, the second waits for the first.
func (r *Events) change(ctx context.Context, set, campaignID string) error {
	update := "UPDATE eventos_por_campana SET " + set + " WHERE id_campana = ?"
	changed, err := r.exec(ctx, update, campaignID)
	if err != nil || changed > 0 {
		return err
	}
	d, err := r.dialect(ctx)
	if err != nil {
		return err
	}
	_, err = r.exec(ctx, "INSERT INTO eventos_por_campana (id_campana, cantidad, version) VALUES (?, 0, 1) "+d.Upsert([]string{"id_campana"}, nil), campaignID)
	if err != nil {
		return err
	}
	_, err = r.exec(ctx, update, campaignID)
	return err
}

func (r *Events) find(ctx context.Context, id string) (eventRow, error) {
	return find[eventRow](ctx, r.conn, selectEvents, id, "", tracking.ErrNotFound, "event")
}

// Get implements [tracking.Repository].
func (r *Events) Get(ctx context.Context, id string) (tracking.Event, error) {
	row, err := r.find(ctx, id)
	if err != nil {
		return tracking.Event{}, err
	}
	return tracking.Restore(row.snapshot()), nil
}

// Remove implements [tracking.Repository].
func (r *Events) Remove(ctx context.Context, id string) (tracking.Event, error) {
	e, err := r.Get(ctx, id)
	if err != nil {
		return tracking.Event{}, err
	}
	removed, err := r.exec(ctx, "DELETE FROM eventos WHERE id = ?", id)
	if err != nil {
		return tracking.Event{}, fmt.Errorf("sqlalpes: remove event: %w", err)
	}
	if removed == 0 {
		return tracking.Event{}, tracking.ErrNotFound
	}
	_, err = r.exec(ctx, "UPDATE eventos_por_campana SET cantidad = cantidad - 1 WHERE id_campana = ?", e.CampaignID())
	if err != nil {
		return tracking.Event{}, fmt.Errorf("sqlalpes: remove event: %w", err)
	}
	return e, nil
}

// Find implements [tracking.Views].
func (r *Events) Find(ctx context.Context, q tracking.Find) (tracking.View, error) {
	row, err := r.find(ctx, q.ID)
	if err != nil {
		return tracking.View{}, err
	}
	return row.view(), nil
}

// List implements [tracking.Views].
func (r *Events) List(ctx context.Context, q tracking.List) (tracking.Page, error) {
	rows, next, err := page[eventRow](ctx, r.conn, selectEvents, q.After, q.Size())
	if err != nil {
		return tracking.Page{}, listError(err, tracking.ErrCursor, "events")
	}
	views := make([]tracking.View, len(rows))
	for i, row := range rows {
		views[i] = row.view()
	}
	return tracking.Page{Events: views, Next: next}, nil
}
