package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/alpespartners/alpespartners/server/app"
)

// The whole system in memory, on a free port, for a test of something that talks to it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	system, err := app.New(ctx, app.Config{Listen: "127.0.0.1:0", Ephemeral: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	stopped := make(chan error, 1)
	go func() { stopped <- system.Run(ctx) }()
	<-system.Ready()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, system.URL(app.BFF)+"/readyz", http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = response.Body.Close()
	fmt.Println(response.Status)

	stop()
	fmt.Println(<-stopped)
	// Output:
	// 200 OK
	// <nil>
}
