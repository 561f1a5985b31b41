package sqldb

import "time"

// AnswerTime is how long a server may take for its first answer.
func AnswerTime(d time.Duration) Option { return Option{func(o *options) { o.answer = d }} }
