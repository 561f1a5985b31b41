package pulsarmsg

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// The sentinels of this package; test for them with [errors.Is]. What the broker or its client said is joined to them.
var (
	// ErrConfig says that a configuration lacks something or contradicts itself.
	ErrConfig = errors.New("pulsarmsg: bad configuration")
	// ErrMessage says that a message cannot be published as it is. It never gets better.
	ErrMessage = errors.New("pulsarmsg: message cannot be published")
	// ErrSchemaRefused says that the broker does not take the topic's schema beside those that it has.
	ErrSchemaRefused = errors.New("pulsarmsg: schema refused by the broker")
	// ErrNoOutcome says that a message was sent and that nothing was heard of it: it may have been published.
	ErrNoOutcome = errors.New("pulsarmsg: no outcome in time")
	// ErrNotDrained says that Close gave up waiting.
	ErrNotDrained = errors.New("pulsarmsg: closed with work under way")
)

// serverError says whether err is one of the broker's errors with the names. The client hands them on as text only.
func serverError(err error, names ...string) bool {
	text := err.Error()
	for _, name := range names {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}

// explain says what to do about a topic that the broker neither has nor makes. Of a namespace that is not there it says no more.
func (c Config) explain(topic string, err error) error {
	if err == nil || !serverError(err, "TopicNotFound") {
		return err
	}
	_, name, _ := strings.Cut(c.fullTopic(topic), "://")
	namespace := path.Dir(name)
	return fmt.Errorf("%w: the namespace %s does not exist, or the broker makes no topics in it: create it (pulsar-admin namespaces create %s), or name one that exists", err, namespace, namespace)
}

// isBusy says that a subscription has a consumer that excludes this one.
func isBusy(err error) bool { return serverError(err, "ConsumerBusy", "ConsumerAssignError") }

// isHopeless says that trying again cannot help.
func isHopeless(err error) bool {
	return serverError(err, "AuthorizationError", "AuthenticationError", "InvalidTopicName", "TopicNotFound",
		"TopicTerminated", "NotAllowedError", "IncompatibleSchema", "Invalid topic name", "invalid topic name")
}
