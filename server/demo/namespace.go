package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// cleanTime bounds the removal of what the demo made.
const cleanTime = 30 * time.Second

// inNamespace makes a namespace, names it in the configuration while play runs, and deletes it.
func inNamespace(ctx context.Context, config *Config, play func() error) error {
	p := pulsar{admin: config.BrokerAdmin}
	if p.admin == "" {
		u, err := url.Parse(config.Broker)
		if err != nil || u.Hostname() == "" {
			return play() // which says what is wrong with it
		}
		p.admin = "http://" + u.Hostname() + ":8080"
	}
	config.Namespace = "public/alpes-demo-" + uuid.NewString()[:8]
	if _, err := p.do(ctx, http.MethodPut, "namespaces/"+config.Namespace); err != nil {
		return fmt.Errorf("demo: make a namespace: %w: is a Pulsar there (\"make pulsar\" starts one)? Say where Pulsar's REST interface is (broker-admin), or name a namespace that nobody uses", err)
	}
	played := play()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	if err := p.remove(ctx, config.Namespace); err != nil {
		return errors.Join(played, fmt.Errorf("demo: the namespace %s is left: %w", config.Namespace, err))
	}
	return played
}

// pulsar is Pulsar's REST interface.
type pulsar struct{ admin string }

// remove deletes the namespace's topics and then the namespace, which a broker seldom allows in one.
func (p pulsar) remove(ctx context.Context, namespace string) error {
	text, err := p.do(ctx, http.MethodGet, "persistent/"+namespace)
	if err != nil {
		return err
	}
	var topics []string
	if err := json.Unmarshal(text, &topics); err != nil {
		return err
	}
	for _, topic := range topics {
		if _, err := p.do(ctx, http.MethodDelete, strings.Replace(topic, "://", "/", 1)+"?force=true"); err != nil {
			return err
		}
	}
	_, err = p.do(ctx, http.MethodDelete, "namespaces/"+namespace)
	return err
}

func (p pulsar) do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(p.admin, "/")+"/admin/v2/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read or is of no use
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return text, err
}
