package sqlalpes

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/alpes/campaign"
)

// Campaigns keeps campaigns in the table campaigns.
type Campaigns struct {
	conn
}

var (
	_ campaign.Repository = (*Campaigns)(nil)
	_ campaign.Views      = (*Campaigns)(nil)
)

// NewCampaigns returns the campaigns in ext, a pool or a transaction. A call whose context carries
// another transaction, see [WithTx], runs in that one. With a nil ext all other calls return [ErrNoTx].
func NewCampaigns(ext sqlx.ExtContext) *Campaigns { return &Campaigns{conn{ext}} }

// campaignRow is a row of the table campaigns.
type campaignRow struct {
	position
	ID           string          `db:"id"`
	Name         string          `db:"nombre"`
	Budget       string          `db:"presupuesto"`
	Currency     string          `db:"divisa"`
	BrandID      string          `db:"marca_id"`
	Participants participantJSON `db:"participantes"`
	Status       string          `db:"status"`
	Version      int64           `db:"version"`
}

const selectCampaigns = "SELECT seq, id, nombre, presupuesto, divisa, marca_id, participantes, status, version FROM campaigns"

func (r campaignRow) snapshot() campaign.Snapshot {
	return campaign.Snapshot{
		ID:           r.ID,
		Name:         r.Name,
		Budget:       r.Budget,
		Currency:     r.Currency,
		BrandID:      r.BrandID,
		Participants: r.Participants,
		Status:       campaign.Status(r.Status),
	}
}

func (r campaignRow) view() campaign.View { return campaign.View(r.snapshot()) }

// Add implements [campaign.Repository].
func (r *Campaigns) Add(ctx context.Context, c campaign.Campaign) error {
	taken, err := r.exists(ctx, "campaigns", c.ID())
	if err != nil {
		return fmt.Errorf("sqlalpes: add campaign: %w", err)
	}
	if taken {
		return campaign.ErrExists
	}
	s := c.Snapshot()
	_, err = r.exec(ctx, `INSERT INTO campaigns (id, nombre, presupuesto, divisa, marca_id, participantes, status, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, 1)`,
		s.ID, s.Name, s.Budget, s.Currency, s.BrandID, participantJSON(s.Participants), string(s.Status))
	if err != nil {
		return fmt.Errorf("sqlalpes: add campaign: %w", err)
	}
	return nil
}

func (r *Campaigns) find(ctx context.Context, id, suffix string) (campaignRow, error) {
	return find[campaignRow](ctx, r.conn, selectCampaigns, id, suffix, campaign.ErrNotFound, "campaign")
}

// Get implements [campaign.Repository].
func (r *Campaigns) Get(ctx context.Context, id string) (campaign.Campaign, error) {
	row, err := r.find(ctx, id, "")
	if err != nil {
		return campaign.Campaign{}, err
	}
	return campaign.Restore(row.snapshot()), nil
}

// Update implements [campaign.Repository].
func (r *Campaigns) Update(ctx context.Context, id string, change func(c *campaign.Campaign) error) error {
	d, err := r.dialect(ctx)
	if err != nil {
		return fmt.Errorf("sqlalpes: update campaign: %w", err)
	}
	row, err := r.find(ctx, id, d.ForUpdate) // it decides alone about it
	if err != nil {
		return err
	}
	before := campaign.Restore(row.snapshot())
	after := before
	if err := change(&after); err != nil {
		return err
	}
	if after.Equal(before) {
		return nil
	}
	s := after.Snapshot()
	changed, err := r.exec(ctx, `UPDATE campaigns
		SET nombre = ?, presupuesto = ?, divisa = ?, marca_id = ?, participantes = ?, status = ?, version = version + 1
		WHERE id = ? AND version = ?`,
		s.Name, s.Budget, s.Currency, s.BrandID, participantJSON(s.Participants), string(s.Status), id, row.Version)
	if err != nil {
		return fmt.Errorf("sqlalpes: update campaign: %w", err)
	}
	if changed == 0 {
		return campaign.ErrConflict
	}
	return nil
}

// Remove implements [campaign.Repository].
func (r *Campaigns) Remove(ctx context.Context, id string) (campaign.Campaign, error) {
	c, err := r.Get(ctx, id)
	if err != nil {
		return campaign.Campaign{}, err
	}
	removed, err := r.exec(ctx, "DELETE FROM campaigns WHERE id = ?", id)
	if err != nil {
		return campaign.Campaign{}, fmt.Errorf("sqlalpes: remove campaign: %w", err)
	}
	if removed == 0 {
		return campaign.Campaign{}, campaign.ErrNotFound
	}
	return c, nil
}

// Find implements [campaign.Views].
func (r *Campaigns) Find(ctx context.Context, q campaign.Find) (campaign.View, error) {
	row, err := r.find(ctx, q.ID, "")
	if err != nil {
		return campaign.View{}, err
	}
	return row.view(), nil
}

// List implements [campaign.Views].
func (r *Campaigns) List(ctx context.Context, q campaign.List) (campaign.Page, error) {
	rows, next, err := page[campaignRow](ctx, r.conn, selectCampaigns, q.After, q.Size())
	if err != nil {
		return campaign.Page{}, listError(err, campaign.ErrCursor, "campaigns")
	}
	views := make([]campaign.View, len(rows))
	for i, row := range rows {
		views[i] = row.view()
	}
	return campaign.Page{Campaigns: views, Next: next}, nil
}

// participantJSON is the column participantes: a JSON array with the original's names.
type participantJSON []campaign.Participant

type participantRecord struct {
	ID      string `json:"id"`
	Type    string `json:"tipo"`
	Name    string `json:"nombre"`
	Profile string `json:"informacion_perfil"`
}

// Value implements [driver.Valuer].
func (p participantJSON) Value() (driver.Value, error) {
	records := make([]participantRecord, len(p))
	for i, one := range p {
		records[i] = participantRecord{ID: one.ID, Type: one.Type, Name: one.Name, Profile: one.Profile}
	}
	text, err := json.Marshal(records)
	return string(text), err
}

// Scan implements [sql.Scanner].
func (p *participantJSON) Scan(column any) error {
	var text []byte
	switch column := column.(type) {
	case string:
		text = []byte(column)
	case []byte:
		text = column
	default:
		return fmt.Errorf("participantes: unexpected %T", column)
	}
	var records []participantRecord
	if err := json.Unmarshal(text, &records); err != nil {
		return fmt.Errorf("participantes: %w", err)
	}
	*p = make(participantJSON, len(records))
	for i, one := range records {
		(*p)[i] = campaign.Participant{ID: one.ID, Type: one.Type, Name: one.Name, Profile: one.Profile}
	}
	return nil
}
