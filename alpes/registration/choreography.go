package registration

import (
	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/saga"
)

// Choreograph returns a service's part in the choreography of the saga; "" is the watcher's, which sends nothing. Campaign's
// part is started with the watcher's and the same key; the others learn of it from the campaign's event. An unknown
// service: [saga.ErrInvalid].
func Choreograph(service string) (*saga.Definition[Registration], error) {
	if service == "" || service == CampaignService {
		return saga.Choreograph(Define(), service)
	}
	return saga.Choreograph(Define(), service,
		saga.JoinOn(func(e campaign.Registered) Registration {
			return Registration{OccurredAt: e.At, Campaign: campaign.Register{
				ID: e.ID, Name: e.Name, Budget: e.Budget, Currency: e.Currency, BrandID: e.BrandID, Participants: e.Participants,
			}}
		}),
		saga.JoinOn(func(e campaign.RegistrationFailed) Registration {
			return Registration{Campaign: campaign.Register{
				ID: e.ID, Name: e.Name, Budget: e.Budget, Currency: e.Currency, BrandID: e.BrandID, Participants: e.Participants,
			}}
		}),
	)
}

// Services returns the services that take part in the choreography.
func Services() []string { return []string{CampaignService, PartnerService, TrackingService} }
