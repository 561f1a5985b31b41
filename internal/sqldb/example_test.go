package sqldb_test

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
)

func ExampleOpen() {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, "sqlite::memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	err = db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		var n int
		err := sqlx.GetContext(ctx, tx, &n, "SELECT 6 * 7")
		fmt.Println(db.Dialect().Name, n)
		return err
	})
	fmt.Println(err)
	// Output:
	// sqlite 42
	// <nil>
}
