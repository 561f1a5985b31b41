package messaging_test

import (
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/messaging"
)

// OrderPlaced is an event; its wire name is given to the codec.
type OrderPlaced struct {
	ID    string `json:"id"`
	Total string `json:"total"`
}

func ExampleNewJSONCodec() {
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[OrderPlaced]("order-placed", "orders", "order-created"), // the last is what it was called before
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := codec.Encode(OrderPlaced{ID: "1", Total: "10.50"})
	fmt.Println(m.Topic, m.Type, string(m.Payload), err)

	m.Type = "order-created"
	v, err := codec.Decode(m)
	fmt.Printf("%+v %v\n", v, err)

	m.Payload = m.Payload[:10]
	_, err = codec.Decode(m)
	fmt.Println(errors.Is(err, messaging.ErrMalformed))
	// Output:
	// orders order-placed {"id":"1","total":"10.50"} <nil>
	// {ID:1 Total:10.50} <nil>
	// true
}
