package pulsarmsg

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// The properties of a message besides its headers, which are properties under their own names.
const (
	// PropertyEnvelope holds the type, the schema's fingerprint and the ID, separated by spaces, "-" for none. A property costs the client as
	// much as all the rest of a small message.
	PropertyEnvelope = "message-envelope"
	// PropertyID and PropertyType hold the ID and the Type of messages that have no envelope: those without an ID or with a space in the
	// type, and those of producers in other languages.
	PropertyID   = "message-id"
	PropertyType = "message-type"
)

// sizeSlack is what the broker's limit has to hold besides payload, key and properties, in bytes.
const sizeSlack = 1024

// encode makes what to send for m, with properties, which is empty, and returns its size in bytes.
func encode(to *pulsar.ProducerMessage, properties map[string]string, m messaging.Message, limit int) (int, error) {
	if m.Topic == "" {
		return 0, refuse("no topic is given")
	}
	labels := len(m.Key)
	for name, value := range m.Headers {
		switch name {
		case PropertyEnvelope, PropertyID, PropertyType:
			return 0, refuse("the header " + name + " is reserved: set Message.ID and Message.Type")
		}
		properties[name] = value
	}
	if envelope, ok := pack(m); ok {
		delete(properties, headerFingerprint)
		properties[PropertyEnvelope] = envelope
	} else {
		if m.ID != "" {
			properties[PropertyID] = m.ID
		}
		if m.Type != "" {
			properties[PropertyType] = m.Type
		}
	}
	for name, value := range properties {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return 0, refuse(fmt.Sprintf("the property %q is not UTF-8", name))
		}
		labels += len(name) + len(value) + 8
	}
	if !utf8.ValidString(m.Key) {
		return 0, refuse("the key is not UTF-8")
	}
	// A batch repeats the properties of its first message.
	size := len(m.Payload) + 2*labels + sizeSlack
	if size > limit {
		return 0, refuse(fmt.Sprintf("payload and headers have %d bytes, and the limit is %d (Config.MaxMessageSize)", size, limit))
	}
	payload := m.Payload
	if payload == nil {
		payload = []byte{} // nil would be a tombstone
	}
	*to = pulsar.ProducerMessage{Payload: payload, Key: m.Key, Properties: properties}
	return size, nil
}

// pack returns m's envelope, if it can have one.
func pack(m messaging.Message) (envelope string, ok bool) {
	fingerprint := m.Headers[headerFingerprint]
	if m.ID == "" || m.Type == "" && fingerprint == "" || strings.Contains(m.Type, " ") || strings.Contains(fingerprint, " ") {
		return "", false
	}
	return cmp.Or(m.Type, "-") + " " + cmp.Or(fingerprint, "-") + " " + m.ID, m.Type != "-" && fingerprint != "-"
}

// unpack takes what is the message's own out of its properties, which become its headers.
func unpack(properties map[string]string) (id, messageType string) {
	if envelope, ok := properties[PropertyEnvelope]; ok {
		first, rest, _ := strings.Cut(envelope, " ")
		second, third, complete := strings.Cut(rest, " ")
		if complete { // else it is nobody's
			delete(properties, PropertyEnvelope)
			if second != "-" {
				properties[headerFingerprint] = second
			}
			if first == "-" {
				first = ""
			}
			return third, first
		}
	}
	id, messageType = properties[PropertyID], properties[PropertyType]
	delete(properties, PropertyID)
	delete(properties, PropertyType)
	return id, messageType
}

func refuse(what string) error {
	return messaging.Permanent(fmt.Errorf("%w: %s", ErrMessage, what))
}

// decode returns the message that arrived on the topic. Its headers are the received properties themselves, which nobody else has.
func decode(topic string, m pulsar.Message) messaging.Message {
	headers := m.Properties()
	id, messageType := unpack(headers)
	if len(headers) == 0 {
		headers = nil
	}
	// An ordering key is what the broker orders by where there is one; producers of ours set none.
	key := m.OrderingKey()
	if key == "" {
		key = m.Key()
	}
	published := m.PublishTime()
	if t := m.BrokerPublishTime(); t != nil {
		published = *t
	}
	return messaging.Message{
		ID: id, Topic: topic, Key: key, Type: messageType, Headers: headers, Payload: m.Payload(),
		Published: published, BrokerID: brokerID(m.ID()),
	}
}

// brokerID returns "ledger:entry:partition:batch index".
func brokerID(id pulsar.MessageID) string {
	text := make([]byte, 0, 48)
	text = strconv.AppendInt(text, id.LedgerID(), 10)
	text = append(text, ':')
	text = strconv.AppendInt(text, id.EntryID(), 10)
	text = append(text, ':')
	text = strconv.AppendInt(text, int64(id.PartitionIdx()), 10)
	text = append(text, ':')
	text = strconv.AppendInt(text, int64(id.BatchIdx()), 10)
	return string(text)
}
