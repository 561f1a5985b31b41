// Package faults has no code but tests: it runs sagas through coordinators, relays and participants on real databases, does the databases and
// the processes harm, and audits what became of the business.
//
// Every saga here takes an order: stock is reserved, money is charged, the parcel is shipped or refused. What a participant does it writes into
// a ledger, a row for each effect, in the transaction of its inbox. The auditor reads the ledger, the sagas, the outbox and the dead letters, and
// uses nothing of what it audits but the names of the tables:
//
//   - every acknowledged start is one saga, and it has ended as its order says;
//   - each effect of a completed order is in the ledger once and was not undone; each of a compensated one is undone once or was never there;
//   - the ledger has no effect of an order that no saga knows;
//   - the outbox is empty, and nothing became a dead letter.
package faults
