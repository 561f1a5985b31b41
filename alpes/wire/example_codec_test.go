package wire_test

import (
	"encoding/hex"
	"fmt"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
)

func ExampleNewCodec() {
	codec, err := wire.NewCodec(wire.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := codec.Encode(campaign.Register{ID: "c1", Name: "Otoño", Budget: "16777217.10", Currency: "EUR", BrandID: "b7"})
	fmt.Println(m.Type, "on", m.Topic, "by", m.Key, err)
	v, err := codec.Decode(m)
	fmt.Println(v.(campaign.Register).Budget, err)

	// The original sends no type, no key and no headers: the topic says what it is.
	payload, err := hex.DecodeString("024837663466336130632d656531632d343563382d613961312d3334383365366430373561390280d5aebec1680280d5aebe" +
		"c16802047631022043616e63656c617243616d706169676e022043616e63656c617243616d706169676e022463616d706169" +
		"676e2e6165726f616c70657302024830303234383134302d386435612d343566362d623839632d3635663564613434366138" +
		"66")
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err = codec.Decode(messaging.Message{Topic: wire.TopicCancelCampaign, Payload: payload})
	fmt.Printf("%+v %v\n", v, err)
	// Output:
	// RegistrarCampaign on comando-registrar-campaign by c1 <nil>
	// 16777217.10 <nil>
	// {ID:00248140-8d5a-45f6-b89c-65f5da446a8f} <nil>
}

func ExampleTopics() {
	for _, t := range wire.Topics()[7:] {
		fmt.Println(t.Name, t.Record, t.Subscription, t.Schema == t.Original)
	}
	// Output:
	// evento-campaigns EventoCampaign  false
	// evento-partners EventoPartner sub-partner true
	// evento-traking EventoTraking sub-evento true
}
