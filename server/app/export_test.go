package app

import "github.com/alpespartners/alpespartners/messaging"

// Bus is the app's, for tests that send what a broker outside would send.
func (a *App) Bus() messaging.Bus { return a.bus }
