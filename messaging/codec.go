package messaging

// Codec turns commands and events into messages and back. Implementations are safe for
// concurrent use and keep no reference to their arguments.
type Codec interface {
	// Encode returns a message with Topic, Type and Payload set for v, a plain struct value
	// of a registered Go type (not a pointer), and with Key and Headers where the codec knows them. Unregistered: [ErrUnknownType]. A value that the schema cannot carry: an error
	// that names the field.
	Encode(v any) (Message, error)
	// Decode returns the value, as the registered Go struct type (not a pointer). A codec may read messages without a
	// Type by their topic. A message of a type that is not registered: [ErrUnknownType]. Bytes that are not one whole value: [ErrMalformed].
	Decode(m Message) (any, error)
	// Topic returns the topic that values of v's Go type travel on. Unregistered: [ErrUnknownType].
	Topic(v any) (string, error)
}

// Catalog is what a [Codec] implements besides that can tell what travels on a topic.
type Catalog interface {
	// Types returns a zero value of each registered Go type that travels on the topic, in an order that stays the same.
	Types(topic string) []any
}

// Bus is what a service needs to talk: a broker and the codec for what travels on it.
type Bus struct {
	// Broker carries the messages. Required.
	Broker Broker
	// Codec encodes and decodes them. Required.
	Codec Codec
}
