package sqlalpes

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/alpes/partner"
)

// Partners keeps partners in the table partners.
type Partners struct {
	conn
}

var (
	_ partner.Repository = (*Partners)(nil)
	_ partner.Views      = (*Partners)(nil)
)

// NewPartners returns the partners in ext, a pool or a transaction. A call whose context carries
// another transaction, see [WithTx], runs in that one. With a nil ext all other calls return [ErrNoTx].
func NewPartners(ext sqlx.ExtContext) *Partners { return &Partners{conn{ext}} }

// partnerRow is a row of the table partners.
type partnerRow struct {
	position
	ID         string `db:"id"`
	CampaignID string `db:"id_campaign"`
	Name       string `db:"nombre"`
	Type       string `db:"tipo"`
	Profile    string `db:"informacion_perfil"`
}

const selectPartners = "SELECT seq, id, id_campaign, nombre, tipo, informacion_perfil FROM partners"

func (r partnerRow) snapshot() partner.Snapshot {
	return partner.Snapshot{ID: r.ID, CampaignID: r.CampaignID, Name: r.Name, Type: partner.Type(r.Type), Profile: r.Profile}
}

func (r partnerRow) view() partner.View {
	return partner.View{ID: r.ID, CampaignID: r.CampaignID, Name: r.Name, Type: partner.Type(r.Type), Profile: r.Profile}
}

// Add implements [partner.Repository].
func (r *Partners) Add(ctx context.Context, p partner.Partner) error {
	taken, err := r.exists(ctx, "partners", p.ID())
	if err != nil {
		return fmt.Errorf("sqlalpes: add partner: %w", err)
	}
	if taken {
		return partner.ErrExists
	}
	s := p.Snapshot()
	_, err = r.exec(ctx, "INSERT INTO partners (id, id_campaign, nombre, tipo, informacion_perfil) VALUES (?, ?, ?, ?, ?)",
		s.ID, s.CampaignID, s.Name, string(s.Type), s.Profile)
	if err != nil {
		return fmt.Errorf("sqlalpes: add partner: %w", err)
	}
	return nil
}

func (r *Partners) find(ctx context.Context, id string) (partnerRow, error) {
	return find[partnerRow](ctx, r.conn, selectPartners, id, "", partner.ErrNotFound, "partner")
}

// Get implements [partner.Repository].
func (r *Partners) Get(ctx context.Context, id string) (partner.Partner, error) {
	row, err := r.find(ctx, id)
	if err != nil {
		return partner.Partner{}, err
	}
	return partner.Restore(row.snapshot()), nil
}

// Remove implements [partner.Repository].
func (r *Partners) Remove(ctx context.Context, id string) (partner.Partner, error) {
	p, err := r.Get(ctx, id)
	if err != nil {
		return partner.Partner{}, err
	}
	removed, err := r.exec(ctx, "DELETE FROM partners WHERE id = ?", id)
	if err != nil {
		return partner.Partner{}, fmt.Errorf("sqlalpes: remove partner: %w", err)
	}
	if removed == 0 {
		return partner.Partner{}, partner.ErrNotFound
	}
	return p, nil
}

// Find implements [partner.Views].
func (r *Partners) Find(ctx context.Context, q partner.Find) (partner.View, error) {
	row, err := r.find(ctx, q.ID)
	if err != nil {
		return partner.View{}, err
	}
	return row.view(), nil
}

// List implements [partner.Views].
func (r *Partners) List(ctx context.Context, q partner.List) (partner.Page, error) {
	rows, next, err := page[partnerRow](ctx, r.conn, selectPartners, q.After, q.Size())
	if err != nil {
		return partner.Page{}, listError(err, partner.ErrCursor, "partners")
	}
	views := make([]partner.View, len(rows))
	for i, row := range rows {
		views[i] = row.view()
	}
	return partner.Page{Partners: views, Next: next}, nil
}
