// Command server is the reference system of Alpes Partners: its services bff, campaign, partner and tracking and the saga
// coordinator, in one process on SQLite unless told otherwise.
//
//	go run ./server         serve on 127.0.0.1:8000
//	go run ./server demo    play the three scenarios
//	go run ./server --help  all settings
//
// With a Pulsar (--broker) the services can be processes of their own (--services), on one database (--database) or several.
// compose.yaml beside this file has what they need, and the four of them.
package main
