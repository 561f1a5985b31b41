package sagatest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// StoreHarness is what [RunStore] needs to know about a store.
type StoreHarness struct {
	// New returns the roles of an empty store, or of one that other cases use too. They are one store, so that usually they are one value. Required.
	New func(t *testing.T) (coordinator.Store, coordinator.Reader, outbox.Store)
}

// RunStore tests a store against its contract.
func RunStore(t *testing.T, h StoreHarness) {
	if h.New == nil {
		t.Fatal("sagatest: StoreHarness needs New")
	}
	for _, c := range cases() {
		t.Run(c.promise, func(t *testing.T) {
			t.Parallel()
			store, reader, messages := h.New(t)
			c.run(&stage{T: t, store: store, reader: reader, outbox: messages, tag: rand.Text()})
		})
	}
}

type storeCase struct {
	promise string
	run     func(*stage)
}

func cases() []storeCase {
	return []storeCase{
		{"LoadLeavesOutWhatDoesNotExist", loadMissing},
		{"CommitThenLoadReturnsEveryField", roundTrip},
		{"EveryFlagIsKeptForItself", flagsApart},
		{"LoadBringsOnlyTheWantedRecords", wantedRecords},
		{"NilDataKeepsWhatIsStored", nilDataKeeps},
		{"CreatingTwiceConflicts", createTwice},
		{"AStaleVersionWritesNothingAndTheRestOfTheBatchIsWritten", staleVersion},
		{"OneOfManyConcurrentCommitsWins", concurrentCommits},
		{"OneOfManyConcurrentCreationsWins", concurrentCreations},
		{"OfTwoChangesOfOneInstanceInABatchTheSecondConflicts", twiceInABatch},
		{"AReaderNeverMeetsHalfACommit", wholeCommits},
		{"AFailedCommitWritesNothing", failedCommit},
		{"KeepingDataThatWasNeverStoredIsAnError", missingData},
		{"ACancelledContextCommitsNothing", cancelledCommit},
		{"NothingIsSharedWithTheCaller", nothingShared},
		{"PagesAndMessagesAreNotSharedEither", pagesUnshared},
		{"DueIsEarliestFirstAndBounded", dueOrder},
		{"DueTellsTheNextWakeUp", dueNext},
		{"DueComesToTheMillisecondAndNeverEarly", dueOnTime},
		{"DueFindsItems", dueItems},
		{"DueOrdersRootsAndItemsTogetherUntilTheirInstanceEnds", dueMixed},
		{"DuePassesOverTerminalAndOrphanedInstances", duePassesOver},
		{"DuePassesOverTheDefinitionsToSkip", dueSkip},
		{"DueLooksAtOnlyOneDefinitionIfAsked", dueOnly},
		{"AdoptMakesOrphansDueAgain", adopt},
		{"ACancelledContextAdoptsNothing", cancelledAdopt},
		{"TheLogIsInOrderAndPaged", logOrder},
		{"AuditsAreKept", audits},
		{"EveryFieldOfLogAndAuditIsKept", storyFields},
		{"ItemsArePagedInTheOrderOfCreation", itemPages},
		{"AChangedItemKeepsItsPlace", itemOrder},
		{"ListIsNewestFirstFilteredAndPaged", list},
		{"PagesStayInPlaceWhileInstancesAreCreated", pagesInPlace},
		{"AListsLimitIs50Unsaid500AtMost", listLimits},
		{"AMalformedCursorIsErrCursor", malformedCursor},
		{"GetOfAnUnknownInstanceIsErrNotFound", getUnknown},
		{"OutboxRowsAreThereIffTheChangeWasCommitted", outboxRows},
		{"IdsAndKeysAreCaseSensitiveAndOddTextSurvives", oddText},
		{"ControlCharactersAndBytesSurvive", controlCharacters},
		{"NothingIsFoundByWhatNoDatabaseCanKeep", illegible},
		{"TheLongestIdsAndKeysSurvive", longest},
		{"BigDataSurvives", bigData},
		{"EveryFieldOfAnExpectationIsKept", matchFields},
		{"MatchIsInTheOrderOfTheCommits", matchOrder},
		{"AnExpectationThatIsThereStaysAsItIs", matchStays},
		{"AnAnsweredExpectationIsFoundByItsMessageOnly", matchAnswers},
		{"AMessageAnswersOneExpectation", matchOnce},
		{"OneChangeExpectsAndAnswers", matchAtOnce},
		{"ForgetRemovesOnlyWhatIsOpenOfTheInstance", matchForget},
		{"AConflictNeitherExpectsNorAnswersNorForgets", matchConflict},
		{"AFailedCommitNeitherExpectsNorAnswers", matchFailed},
		{"MatchReturnsAThousandOpenOnesAndAllThatTheMessagesAnswered", matchLimit},
		{"MatchTakesThousandsOfKeysAndMessages", matchMany},
		{"ACancelledContextMatchesNothing", cancelledMatch},
		{"EveryFieldOfAPauseIsKept", pauseFields},
		{"SetPauseReplacesTheOneOfTheDefinitionThatBeganThen", pauseReplaced},
		{"PausesAreInTheOrderOfTheirBeginningWithoutThoseThatAreDone", pausesOpen},
		{"PauseHistoryIsNewestFirstAndPaged", pauseHistory},
		{"ACancelledContextSetsNoPause", cancelledPause},
		{"EndedFindsWhatEndedLongAgoInTheOrderOfCreation", endedOnly},
		{"PagesOfWhatEndedStayInPlaceWhileInstancesAreRemoved", endedPagesStay},
		{"RemoveTakesAllOfAnInstanceAndNothingElse", removeWhole},
		{"RemoveTakesNothingThatHasNotEndedLongAgo", removeChecksAgain},
		{"ACancelledContextRemovesNothing", removeCancelled},
		{"TwoRemoveTheSameInstancesAtTheSameTime", removeManyAtOnce},
		{"RemovePausesTakesWhatIsDoneAndOld", removePauses},
		{"ThousandsOfInstancesGoInAndOutAtOnce", manySagasAtOnce},
		{"ThousandsOfItemsAndLinesGoInAndOutAtOnce", manyItemsAtOnce},
	}
}

// stage is a case's store with the helpers that cases share. Ids begin with the tag.
type stage struct {
	*testing.T
	store  coordinator.Store
	reader coordinator.Reader
	outbox outbox.Store
	tag    string
}

// epoch is when the cases' instances were started, to the microsecond.
func epoch() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC) }

func (s *stage) id(name string) saga.ID { return saga.ID(s.tag + "-" + name) }

// state is a new instance, at version 1, with a root record.
func (s *stage) state(name string) saga.State {
	return saga.State{
		ID: s.id(name), Definition: "trip", Hash: s.tag, Status: saga.Running, Version: 1, Started: epoch(), Updated: epoch(),
		Root: saga.Record{Data: []byte(`{"a":1}`), Nodes: []saga.NodeState{{}, {Phase: saga.PhaseDoing, Attempt: 1}}},
	}
}

// create returns the change that makes the instance.
func create(state saga.State) coordinator.Change {
	return coordinator.Change{State: state, Records: saga.Changed(saga.State{}, state), Log: []coordinator.LogEntry{
		{Version: state.Version, At: epoch(), Log: saga.Log{Kind: saga.LogStarted}},
	}}
}

// update returns the change that leads from one state to the next.
func update(before, after saga.State) coordinator.Change {
	return coordinator.Change{Before: before.Version, State: after, Records: saga.Changed(before, after)}
}

// next is the state's successor, to be modified by the caller.
func next(state saga.State) saga.State {
	state.Version++
	state.Updated = state.Updated.Add(time.Second)
	return state
}

// commit commits the changes and wants no conflicts.
func (s *stage) commit(changes ...coordinator.Change) {
	s.Helper()
	conflicts, err := s.store.Commit(s.Context(), changes)
	if err != nil || len(conflicts) > 0 {
		s.Fatalf("Commit: conflicts %v, %v", conflicts, err)
	}
}

// load returns the instance with the wanted records.
func (s *stage) load(id saga.ID, keys ...string) saga.State {
	s.Helper()
	found, err := s.store.Load(s.Context(), []coordinator.Want{{ID: id, Keys: keys}})
	if err != nil {
		s.Fatal(err)
	}
	state, ok := found[id]
	if !ok {
		s.Fatalf("Load does not find %s", id)
	}
	return state
}

// pending returns the ids of the case's own messages in the outbox.
func (s *stage) pending() map[string]messaging.Message {
	s.Helper()
	own := map[string]messaging.Message{}
	for offset := 0; ; offset += 100 {
		page, err := s.outbox.Pending(s.Context(), offset, 100)
		if err != nil {
			s.Fatal(err)
		}
		for _, m := range page {
			if m.Topic == s.tag {
				own[m.ID] = m
			}
		}
		if len(page) < 100 {
			return own
		}
	}
}

// due returns the case's own due records and the next wake-up time.
func (s *stage) due(now time.Time, limit int) ([]coordinator.Wake, time.Time) {
	s.Helper()
	due, nextWake, err := s.store.Due(s.Context(), coordinator.DueQuery{Now: now, Limit: limit})
	if err != nil {
		s.Fatal(err)
	}
	return due, nextWake
}

func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
