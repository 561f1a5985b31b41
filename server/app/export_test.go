package app

import (
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// Bus is the app's, for tests that send what a broker outside would send.
func (a *App) Bus() messaging.Bus { return a.bus }

// DatabaseURL returns what is opened where a configuration names the database in that way.
func DatabaseURL(text string) (string, error) { return Config{Database: text}.database() }

// Pulsar is what the driver is told.
func Pulsar(c Config) pulsarmsg.Config { return c.pulsar() }
