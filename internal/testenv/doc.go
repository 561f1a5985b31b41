// Package testenv gives tests real servers: Pulsar, PostgreSQL and MySQL. It is the one way to them, so that every test finds
// them the same way, shares them, and says the same when there are none.
//
//	func TestIntegrationStore(t *testing.T) {
//		db := testenv.Postgres(t) // an empty database of this test alone, dropped when it ends
//		store, err := Open(t.Context(), db.URL)
//
// # Where the servers come from
//
// From the environment, if it names one: PULSAR_URL with PULSAR_ADMIN_URL, POSTGRES_URL, MYSQL_URL. The user in the URL
// must be allowed to create databases. Else from Docker: a container for each product, from its official image
// or the one that TESTENV_PULSAR_IMAGE, TESTENV_POSTGRES_IMAGE or TESTENV_MYSQL_IMAGE names. The first test that asks starts it, the
// others of all packages of the same "go test" use it, and testcontainers' reaper removes it after the run. Where the reaper is
// disabled, whoever disabled it removes the containers by their label.
//
// Else the test is skipped and says what to do. With REQUIRE_INTEGRATION=1 it fails instead, so that a green run
// is one that ran them. A server that was found and does not answer is a failure in any case.
//
// Tests that use this package are named TestIntegration…, which is how scripts tell them from the others.
//
// # What belongs to a test
//
// Each call makes something new on the shared server: a database, or a namespace of Pulsar's tenant "public". A test that harms its
// server asks for one of its own, with [OwnPulsar], [OwnPostgres] or [OwnMySQL]; these are always containers, keep
// their ports and data while they are stopped, and end with the test.
package testenv
