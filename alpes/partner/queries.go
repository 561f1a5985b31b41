package partner

import "context"

// The sizes of a page of [List].
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// View is a partner as queries show it.
type View struct {
	ID         string `json:"id"`
	CampaignID string `json:"campaignId"`
	Name       string `json:"name"`
	Type       Type   `json:"type"`
	Profile    string `json:"profile"`
}

// Find is the query for one partner.
type Find struct {
	ID string `json:"id"`
}

// List is the query for all partners, page by page, in the order of their registration.
type List struct {
	// After is the Next of the page before. Empty means the first page.
	After string `json:"after"`
	// Limit is the most partners in the page. Zero or less means DefaultPageSize; more than MaxPageSize means MaxPageSize.
	Limit int `json:"limit"`
}

// Size returns the number of partners in a full page.
func (q List) Size() int {
	if q.Limit <= 0 {
		return DefaultPageSize
	}
	return min(q.Limit, MaxPageSize)
}

// Page is a part of the list.
type Page struct {
	// Partners may be empty on the last page.
	Partners []View `json:"partners"`
	// Next is an opaque cursor. Empty means that this is the last page.
	Next string `json:"next"`
}

// Views is the reading side. Implementations are safe for concurrent use.
type Views interface {
	// Find returns the partner, or [ErrNotFound].
	Find(ctx context.Context, q Find) (View, error)
	// List returns a page. A partner that is there from the first page's call to the last's is in exactly one
	// of them. A cursor that is none: [ErrCursor].
	List(ctx context.Context, q List) (Page, error)
}
