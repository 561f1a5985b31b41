package saga_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/saga"
)

// Sealed is a codec that encrypts the data of instances.
type Sealed struct{ AEAD cipher.AEAD }

func (s Sealed) Encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, s.AEAD.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.AEAD.Seal(nonce, nonce, text, nil), nil
}

func (s Sealed) Decode(data []byte, v any) error {
	size := s.AEAD.NonceSize()
	if len(data) < size {
		return errors.New("not sealed")
	}
	text, err := s.AEAD.Open(nil, data[:size], data[size:], nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// With a codec of one's own, what the store keeps is encrypted; [saga.DataJSON] shows it to those who have the key.
func ExampleDefinition_WithCodec() {
	block, err := aes.NewCipher([]byte("a key of sixteen"))
	if err != nil {
		fmt.Println(err)
		return
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		fmt.Println(err)
		return
	}
	trip := bookTrip().WithCodec(Sealed{AEAD: aead})
	state := follow(trip, saga.Start{ID: "trip-1", Data: Trip{Seat: "7A"}})
	fmt.Println(json.Valid(state.Root.Data))
	data, err := saga.DataJSON(trip, state.Root)
	fmt.Println(string(data), err)
	// Output:
	// flight: saga_test.BookFlight
	// = running
	// false
	// {"Seat":"7A","Why":""} <nil>
}
