package sagatest_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// matching breaks what Match has found.
func matching(spoil func(found []coordinator.Expected) []coordinator.Expected) func(*store) {
	return func(s *store) {
		s.match = func(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
			found, err := s.Store.Match(ctx, keys, messages)
			return spoil(found), err
		}
	}
}

// ledger is a store of expectations that does each part of a change on its own, whatever becomes of the rest.
type ledger struct {
	mu  sync.Mutex
	all []coordinator.Expected
}

func (l *ledger) place(id saga.ID, e coordinator.Expectation) int {
	return slices.IndexFunc(l.all, func(x coordinator.Expected) bool {
		return x.ID == id && x.Node == e.Node && x.Direction == e.Direction && x.Epoch == e.Epoch
	})
}

func (l *ledger) expect(c coordinator.Change) {
	for _, e := range c.Expect {
		if l.place(c.State.ID, e) < 0 {
			l.all = append(l.all, coordinator.Expected{ID: c.State.ID, Expectation: e})
		}
	}
}

func (l *ledger) answer(c coordinator.Change) {
	for _, a := range c.Answered {
		if i := l.place(c.State.ID, a.Expectation); i >= 0 {
			l.all[i].Answer = a.Answer
		}
	}
}

func (l *ledger) forget(c coordinator.Change) {
	if c.Forget {
		l.all = slices.DeleteFunc(l.all, func(e coordinator.Expected) bool { return e.ID == c.State.ID && e.Answer == "" })
	}
}

// keeping replaces how a store keeps expectations; apply does it for each change of each commit, with its outcome.
func keeping(apply func(l *ledger, c coordinator.Change, conflict bool, err error)) func(*store) {
	return keepingAll(apply, func(c coordinator.Change) coordinator.Change { return c })
}

// keepingAll has the store below commit what below makes of the changes.
func keepingAll(apply func(l *ledger, c coordinator.Change, conflict bool, err error), below func(coordinator.Change) coordinator.Change) func(*store) {
	return func(s *store) {
		l := &ledger{}
		s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			committed := make([]coordinator.Change, len(changes))
			for i, c := range changes {
				committed[i] = below(c)
			}
			conflicts, err := s.Store.Commit(ctx, committed)
			for _, c := range changes {
				apply(l, c, slices.Contains(conflicts, c.State.ID), err)
			}
			return conflicts, err
		}
		s.match = func(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			var found []coordinator.Expected
			for _, e := range l.all {
				if slices.Contains(keys, e.Key) && (e.Answer == "" || slices.Contains(messages, e.Answer)) {
					found = append(found, e)
				}
			}
			return found, ctx.Err()
		}
	}
}

// well reports whether the change was committed.
func well(conflict bool, err error) bool { return !conflict && err == nil }

// brokenMatches break promises about what instances wait for.
func brokenMatches() map[string]broken {
	all := brokenExpectations()
	all["forgets the epoch"] = broken{"EveryFieldOfAnExpectationIsKept", matching(func(found []coordinator.Expected) []coordinator.Expected {
		for i := range found {
			found[i].Epoch = 0
		}
		return found
	})}
	all["says nothing of the answer"] = broken{"EveryFieldOfAnExpectationIsKept", matching(func(found []coordinator.Expected) []coordinator.Expected {
		for i := range found {
			found[i].Answer = ""
		}
		return found
	})}
	all["matches the newest first"] = broken{"MatchIsInTheOrderOfTheCommits", matching(func(found []coordinator.Expected) []coordinator.Expected {
		slices.Reverse(found)
		return found
	})}
	all["matches by instance"] = broken{"MatchIsInTheOrderOfTheCommits", matching(func(found []coordinator.Expected) []coordinator.Expected {
		slices.SortStableFunc(found, func(a, b coordinator.Expected) int { return strings.Compare(string(a.ID), string(b.ID)) })
		return found
	})}
	all["matches key by key"] = broken{"MatchTakesThousandsOfKeysAndMessages", func(s *store) {
		s.match = func(ctx context.Context, keys, messages []string) (found []coordinator.Expected, err error) {
			for part := range slices.Chunk(keys, 10_000) {
				more, err := s.Store.Match(ctx, part, messages)
				if err != nil {
					return nil, err
				}
				found = append(found, more...)
			}
			return found, nil
		}
	}}
	all["folds the case of keys"] = broken{"MatchIsInTheOrderOfTheCommits", changing(func(_ *store, c *coordinator.Change) {
		c.Expect = slices.Clone(c.Expect)
		for i := range c.Expect {
			if stem, ends := strings.CutSuffix(c.Expect[i].Key, "k"); ends {
				c.Expect[i].Key = stem + "K"
			}
		}
	})}
	all["finds answers to any message"] = broken{"AnAnsweredExpectationIsFoundByItsMessageOnly", func(s *store) {
		var told []string
		s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
			for _, c := range changes {
				for _, a := range c.Answered {
					told = append(told, a.Answer)
				}
			}
			return s.Store.Commit(ctx, changes)
		}
		s.match = func(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
			return s.Store.Match(ctx, keys, slices.Concat(messages, told))
		}
	}}
	all["never finds answers"] = broken{"AnAnsweredExpectationIsFoundByItsMessageOnly", func(s *store) {
		s.match = func(ctx context.Context, keys, _ []string) ([]coordinator.Expected, error) {
			return s.Store.Match(ctx, keys, nil)
		}
	}}
	all["counts answers among the thousand"] = broken{"MatchReturnsAThousandOpenOnesAndAllThatTheMessagesAnswered", matching(
		func(found []coordinator.Expected) []coordinator.Expected {
			return found[:min(len(found), coordinator.MaxMatches)]
		})}
	all["matches without a bound"] = broken{"MatchReturnsAThousandOpenOnesAndAllThatTheMessagesAnswered", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
		l.expect(c)
		l.answer(c)
	})}
	all["matches after the end"] = broken{"ACancelledContextMatchesNothing", func(s *store) {
		s.match = func(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
			return s.Store.Match(context.WithoutCancel(ctx), keys, messages)
		}
	}}
	return all
}

// brokenExpectations break promises about what a commit does to them.
func brokenExpectations() map[string]broken {
	return map[string]broken{
		"replaces what is expected already": {"AnExpectationThatIsThereStaysAsItIs", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			for _, e := range c.Expect {
				if i := l.place(c.State.ID, e); i >= 0 {
					l.all[i].Expectation = e
				}
			}
			l.expect(c)
			l.answer(c)
		})},
		"opens what was answered": {"AnExpectationThatIsThereStaysAsItIs", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			for _, e := range c.Expect {
				if i := l.place(c.State.ID, e); i >= 0 {
					l.all[i].Answer = ""
				}
			}
			l.expect(c)
			l.answer(c)
		})},
		"queues anew what is expected again": {"AnExpectationThatIsThereStaysAsItIs", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			for _, e := range c.Expect {
				kept := coordinator.Expected{ID: c.State.ID, Expectation: e}
				if i := l.place(c.State.ID, e); i >= 0 {
					kept = l.all[i]
					l.all = slices.Delete(l.all, i, i+1)
				}
				l.all = append(l.all, kept)
			}
			l.answer(c)
		})},
		"answers in every direction": {"AnAnsweredExpectationIsFoundByItsMessageOnly", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			l.expect(c)
			for _, a := range c.Answered {
				for i := range l.all {
					if l.all[i].ID == a.ID && l.all[i].Node == a.Node && l.all[i].Epoch == a.Epoch {
						l.all[i].Answer = a.Answer
					}
				}
			}
		})},
		"keeps answers to what nobody expects": {"AnAnsweredExpectationIsFoundByItsMessageOnly", changing(func(_ *store, c *coordinator.Change) {
			c.Expect = slices.Clone(c.Expect)
			for _, a := range c.Answered {
				c.Expect = append(c.Expect, a.Expectation)
			}
		})},
		"answers everybody with one message": {"AMessageAnswersOneExpectation", keepingAll(func(l *ledger, c coordinator.Change, conflict bool, err error) {
			if well(conflict, err) {
				l.expect(c)
				l.answer(c)
				l.forget(c)
			}
		}, func(c coordinator.Change) coordinator.Change {
			c.Answered = nil // the store below would refuse them
			return c
		})},
		"answers before it expects": {"OneChangeExpectsAndAnswers", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			l.answer(c)
			l.expect(c)
		})},
		"forgets before it answers": {"ForgetRemovesOnlyWhatIsOpenOfTheInstance", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			l.expect(c)
			l.forget(c)
			l.answer(c)
		})},
		"forgets answers": {"ForgetRemovesOnlyWhatIsOpenOfTheInstance", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			l.expect(c)
			l.answer(c)
			if c.Forget {
				l.all = slices.DeleteFunc(l.all, func(e coordinator.Expected) bool { return e.ID == c.State.ID })
			}
		})},
		"forgets everybody's": {"ForgetRemovesOnlyWhatIsOpenOfTheInstance", keeping(func(l *ledger, c coordinator.Change, _ bool, _ error) {
			l.expect(c)
			l.answer(c)
			if c.Forget {
				l.all = slices.DeleteFunc(l.all, func(e coordinator.Expected) bool { return e.Answer == "" })
			}
		})},
		"never forgets": {"ForgetRemovesOnlyWhatIsOpenOfTheInstance", changing(func(_ *store, c *coordinator.Change) { c.Forget = false })},
		"expects what a stale change did": {"AConflictNeitherExpectsNorAnswersNorForgets", keeping(func(l *ledger, c coordinator.Change, conflict bool, err error) {
			l.expect(c)
			if well(conflict, err) {
				l.answer(c)
				l.forget(c)
			}
		})},
		"answers what a stale change did": {"AConflictNeitherExpectsNorAnswersNorForgets", keeping(func(l *ledger, c coordinator.Change, conflict bool, err error) {
			l.answer(c)
			if well(conflict, err) {
				l.expect(c)
				l.forget(c)
			}
		})},
		"forgets what a stale change did": {"AConflictNeitherExpectsNorAnswersNorForgets", keeping(func(l *ledger, c coordinator.Change, conflict bool, err error) {
			l.forget(c)
			if well(conflict, err) {
				l.expect(c)
				l.answer(c)
			}
		})},
		"expects in a transaction of its own": {"AFailedCommitNeitherExpectsNorAnswers", keeping(func(l *ledger, c coordinator.Change, conflict bool, _ error) {
			if !conflict {
				l.expect(c)
			}
		})},
		"answers in a transaction of its own": {"AFailedCommitNeitherExpectsNorAnswers", keeping(func(l *ledger, c coordinator.Change, conflict bool, err error) {
			if well(conflict, err) {
				l.expect(c)
			}
			l.answer(c)
		})},
	}
}
