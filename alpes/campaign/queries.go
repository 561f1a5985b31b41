package campaign

import "context"

// The sizes of a page of [List].
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// View is a campaign as queries show it.
type View struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Budget       string        `json:"budget"`
	Currency     string        `json:"currency"`
	BrandID      string        `json:"brandId"`
	Participants []Participant `json:"participants"`
	Status       Status        `json:"status"`
}

// Find is the query for one campaign.
type Find struct {
	ID string `json:"id"`
}

// List is the query for all campaigns, page by page, in the order of their registration.
type List struct {
	// After is the Next of the page before. Empty means the first page.
	After string `json:"after"`
	// Limit is the most campaigns in the page. Zero or less means DefaultPageSize; more than MaxPageSize means MaxPageSize.
	Limit int `json:"limit"`
}

// Size returns the number of campaigns in a full page.
func (q List) Size() int {
	if q.Limit <= 0 {
		return DefaultPageSize
	}
	return min(q.Limit, MaxPageSize)
}

// Page is a part of the list.
type Page struct {
	// Campaigns may be empty on the last page.
	Campaigns []View `json:"campaigns"`
	// Next is an opaque cursor. Empty means that this is the last page.
	Next string `json:"next"`
}

// Views is the reading side. Implementations are safe for concurrent use.
type Views interface {
	// Find returns the campaign, or [ErrNotFound].
	Find(ctx context.Context, q Find) (View, error)
	// List returns a page. A campaign that is there from the first page's call to the last's is in exactly
	// one of them. A cursor that is none: [ErrCursor].
	List(ctx context.Context, q List) (Page, error)
}
