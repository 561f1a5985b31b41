package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/cqrs"
)

// errCursor says that a cursor of our own is malformed.
var errCursor = errors.New("web: bad cursor")

// asked answers queries by a bus of this process.
type asked[Find, View, List, Page any] struct{ bus *cqrs.Bus }

// Find implements the Views interfaces.
func (a asked[Find, View, List, Page]) Find(ctx context.Context, q Find) (View, error) {
	return cqrs.Ask[View](ctx, a.bus, q)
}

// List implements the Views interfaces.
func (a asked[Find, View, List, Page]) List(ctx context.Context, q List) (Page, error) {
	return cqrs.Ask[Page](ctx, a.bus, q)
}

// CampaignsOn returns views that ask the bus; see [campaign.HandleQueries].
func CampaignsOn(bus *cqrs.Bus) campaign.Views {
	return asked[campaign.Find, campaign.View, campaign.List, campaign.Page]{bus}
}

// PartnersOn returns views that ask the bus; see [partner.HandleQueries].
func PartnersOn(bus *cqrs.Bus) partner.Views {
	return asked[partner.Find, partner.View, partner.List, partner.Page]{bus}
}

// EventsOn returns views that ask the bus; see [tracking.HandleQueries].
func EventsOn(bus *cqrs.Bus) tracking.Views {
	return asked[tracking.Find, tracking.View, tracking.List, tracking.Page]{bus}
}

// reads is what the operations need of any of the Views.
type reads[V any] struct {
	// find returns the entity; missing is whether the error is that there is none.
	find func(ctx context.Context, id string) (v V, missing bool, err error)
	// list returns a page and the cursor of the next, "" on the last.
	list func(ctx context.Context, after string, limit int) (page []V, next string, err error)
}

func campaignReads(views campaign.Views) reads[campaign.View] {
	return reads[campaign.View]{
		find: func(ctx context.Context, id string) (campaign.View, bool, error) {
			v, err := views.Find(ctx, campaign.Find{ID: id})
			return v, errors.Is(err, campaign.ErrNotFound), err
		},
		list: func(ctx context.Context, after string, limit int) ([]campaign.View, string, error) {
			page, err := views.List(ctx, campaign.List{After: after, Limit: limit})
			return page.Campaigns, page.Next, err
		},
	}
}

func partnerReads(views partner.Views) reads[partner.View] {
	return reads[partner.View]{
		find: func(ctx context.Context, id string) (partner.View, bool, error) {
			v, err := views.Find(ctx, partner.Find{ID: id})
			return v, errors.Is(err, partner.ErrNotFound), err
		},
		list: func(ctx context.Context, after string, limit int) ([]partner.View, string, error) {
			page, err := views.List(ctx, partner.List{After: after, Limit: limit})
			return page.Partners, page.Next, err
		},
	}
}

func eventReads(views tracking.Views) reads[tracking.View] {
	return reads[tracking.View]{
		find: func(ctx context.Context, id string) (tracking.View, bool, error) {
			v, err := views.Find(ctx, tracking.Find{ID: id})
			return v, errors.Is(err, tracking.ErrNotFound), err
		},
		list: func(ctx context.Context, after string, limit int) ([]tracking.View, string, error) {
			page, err := views.List(ctx, tracking.List{After: after, Limit: limit})
			return page.Events, page.Next, err
		},
	}
}

// errUpstream says that a service in another process did not answer, or not as it should.
var errUpstream = errors.New("web: service not available")

// The bounds of what another service is waited for and read.
const (
	remoteTimeout = 10 * time.Second
	maxRemote     = 256 << 20 // the original only has whole lists
)

// localCursor begins cursors into a list that came as a whole, as the original's services send it.
const localCursor = "whole-"

// RemoteCampaigns returns views that ask the campaign service at host, a host:port or an http URL: ours or the original's, whose campaigns
// are all active. A client of nil means one with a timeout of 10 s. A host that is none: [ErrConfig].
func RemoteCampaigns(host string, client *http.Client) (campaign.Views, error) {
	r, err := newRemote(host, "/campaigns", client, campaignJSON.view, campaign.ErrNotFound)
	if err != nil {
		return nil, err
	}
	return remoteCampaigns{r}, nil
}

// RemotePartners is [RemoteCampaigns] for the partner service.
func RemotePartners(host string, client *http.Client) (partner.Views, error) {
	r, err := newRemote(host, "/partners", client, partnerJSON.view, partner.ErrNotFound)
	if err != nil {
		return nil, err
	}
	return remotePartners{r}, nil
}

// RemoteEvents is [RemoteCampaigns] for the tracking service.
func RemoteEvents(host string, client *http.Client) (tracking.Views, error) {
	r, err := newRemote(host, "/eventos", client, eventoJSON.view, tracking.ErrNotFound)
	if err != nil {
		return nil, err
	}
	return remoteEvents{r}, nil
}

type remoteCampaigns struct {
	*remote[campaignJSON, campaign.View]
}

// List implements [campaign.Views].
func (r remoteCampaigns) List(ctx context.Context, q campaign.List) (campaign.Page, error) {
	views, next, err := r.list(ctx, q.After, q.Size(), campaign.ErrCursor)
	return campaign.Page{Campaigns: views, Next: next}, err
}

// Find implements [campaign.Views].
func (r remoteCampaigns) Find(ctx context.Context, q campaign.Find) (campaign.View, error) {
	return r.find(ctx, q.ID)
}

type remotePartners struct {
	*remote[partnerJSON, partner.View]
}

// List implements [partner.Views].
func (r remotePartners) List(ctx context.Context, q partner.List) (partner.Page, error) {
	views, next, err := r.list(ctx, q.After, q.Size(), partner.ErrCursor)
	return partner.Page{Partners: views, Next: next}, err
}

// Find implements [partner.Views].
func (r remotePartners) Find(ctx context.Context, q partner.Find) (partner.View, error) {
	return r.find(ctx, q.ID)
}

type remoteEvents struct {
	*remote[eventoJSON, tracking.View]
}

// List implements [tracking.Views].
func (r remoteEvents) List(ctx context.Context, q tracking.List) (tracking.Page, error) {
	views, next, err := r.list(ctx, q.After, q.Size(), tracking.ErrCursor)
	return tracking.Page{Events: views, Next: next}, err
}

// Find implements [tracking.Views].
func (r remoteEvents) Find(ctx context.Context, q tracking.Find) (tracking.View, error) {
	return r.find(ctx, q.ID)
}

// remote asks one service for its entities, B as it sends them and V as we show them.
type remote[B, V any] struct {
	base     *url.URL
	client   *http.Client
	view     func(B) V
	notFound error
}

func newRemote[B, V any](host, path string, client *http.Client, view func(B) V, notFound error) (*remote[B, V], error) {
	address := host
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil || base.Hostname() == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q is no host: write host:port", ErrConfig, host)
	}
	if base.Port() == "" && address != host { // http's own is no service's
		return nil, fmt.Errorf("%w: %q has no port: write host:port", ErrConfig, host)
	}
	if client == nil {
		client = &http.Client{Timeout: remoteTimeout}
	}
	return &remote[B, V]{base: base.JoinPath(path), client: client, view: view, notFound: notFound}, nil
}

func (r *remote[B, V]) find(ctx context.Context, id string) (V, error) {
	var none V
	u := *r.base.JoinPath(url.PathEscape(id))
	u.RawQuery = "include=status"
	var text json.RawMessage
	status, _, err := r.get(ctx, &u, &text)
	if status == http.StatusNotFound {
		return none, r.notFound
	}
	if err != nil {
		return none, err
	}
	// A map tells Status from status: a campaign of ours has the latter.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return none, r.unusable()
	}
	if _, missing := members["Status"]; missing {
		return none, r.notFound
	}
	var entity B
	if err := json.Unmarshal(text, &entity); err != nil {
		return none, r.unusable()
	}
	return r.view(entity), nil
}

// list returns a page. A service that knows no pages, the original's, sends everything: then we cut the pages ourselves.
func (r *remote[B, V]) list(ctx context.Context, after string, size int, badCursor error) ([]V, string, error) {
	u, offset := *r.base, 0
	if at, whole := strings.CutPrefix(after, localCursor); whole {
		n, err := strconv.Atoi(at)
		if err != nil || n < 0 {
			return nil, "", badCursor
		}
		offset = n
	} else {
		u.RawQuery = url.Values{"limit": {strconv.Itoa(size)}, "cursor": {after}, "include": {"status"}}.Encode()
	}
	var all []B
	status, header, err := r.get(ctx, &u, &all)
	if status == http.StatusUnprocessableEntity && after != "" {
		return nil, "", badCursor
	}
	if err != nil {
		return nil, "", err
	}
	all = all[min(offset, len(all)):]
	next := header.Get(headerNextCursor)
	if len(all) > size {
		all, next = all[:size], localCursor+strconv.Itoa(offset+size)
	}
	views := make([]V, len(all))
	for i, b := range all {
		views[i] = r.view(b)
	}
	return views, next, nil
}

// get decodes the answer into v. Anything but an answer with status 200: an error that wraps errUpstream, with the status if there is one.
func (r *remote[B, V]) get(ctx context.Context, u *url.URL, v any) (status int, header http.Header, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return 0, nil, r.unusable()
	}
	request.Header.Set("Accept", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL, which has the id
		}
		return 0, nil, fmt.Errorf("%w: GET %s: %w", errUpstream, r.base, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, response.Header, fmt.Errorf("%w: GET %s: status %d", errUpstream, r.base, response.StatusCode)
	}
	body := io.LimitReader(response.Body, maxRemote)
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return response.StatusCode, response.Header, r.unusable()
	}
	return response.StatusCode, response.Header, nil
}

// unusable is the error for an answer that is not understood; it does not quote it.
func (r *remote[B, V]) unusable() error {
	return fmt.Errorf("%w: GET %s: the answer is not understood", errUpstream, r.base)
}
