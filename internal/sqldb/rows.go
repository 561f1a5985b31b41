package sqldb

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Insert is a statement that inserts many rows.
type Insert struct {
	// Table and Columns say where to. They are part of the statement's text: never from input.
	Table   string
	Columns []string
	// Computed are columns with an SQL expression each, the same for all rows, such as the dialect's Now.
	Computed map[string]string
	// Suffix ends the statement; see [Dialect].Upsert. Empty means none.
	Suffix string
}

// Rows inserts rows, each with a value for every column, in pieces of a power of two: few statements, which few different
// texts, so that they are worth being prepared.
// Without rows it does nothing.
func (d Dialect) Rows(ctx context.Context, tx sqlx.ExtContext, in Insert, rows [][]any) error {
	if len(in.Columns) == 0 || len(in.Columns) > d.MaxVars {
		return fmt.Errorf("sqldb: insert into %s: %d columns", in.Table, len(in.Columns))
	}
	columns, expressions := slices.Clone(in.Columns), ""
	for column, expression := range in.Computed {
		columns = append(columns, column)
		expressions += ", " + expression
	}
	head := "INSERT INTO " + in.Table + " (" + strings.Join(columns, ", ") + ") "
	if d.Arrays {
		return d.unnested(ctx, tx, in, head, expressions, rows)
	}
	one := "(" + marks(len(in.Columns)) + expressions + ")"
	for len(rows) > 0 {
		n := powerOfTwo(min(len(rows), d.MaxVars/len(in.Columns)))
		chunk := rows[:n]
		rows = rows[n:]
		args := make([]any, 0, len(chunk)*len(in.Columns))
		for _, row := range chunk {
			if len(row) != len(in.Columns) {
				return fmt.Errorf("sqldb: insert into %s: a row of %d values for %d columns", in.Table, len(row), len(in.Columns))
			}
			args = append(args, row...)
		}
		query := head + "VALUES " + strings.Repeat(one+", ", len(chunk)-1) + one
		if in.Suffix != "" {
			query += " " + in.Suffix
		}
		if _, err := tx.ExecContext(ctx, sqlx.Rebind(d.BindStyle, query), args...); err != nil {
			return err
		}
	}
	return nil
}

// In calls fn with pieces of values that fit into one statement beside extra other parameters, each with
// the text of its parameters, "(?, ?, ?)", to stand after IN, until fn fails; it returns fn's error. fn rebinds its query. The last value is
// repeated up to a power of two, so that few different texts are to be prepared.
func (d Dialect) In(values []string, extra int, fn func(in string, args []any) error) error {
	for chunk := range slices.Chunk(values, d.MaxVars-extra) {
		n := len(chunk)
		if round := powerOfTwo(n); round < n {
			n = min(2*round, d.MaxVars-extra)
		}
		args := make([]any, n)
		for i := range args {
			args[i] = chunk[min(i, len(chunk)-1)]
		}
		if err := fn("("+marks(n)+")", args); err != nil {
			return err
		}
	}
	return nil
}

// Find is [Dialect.In] for statements that lock what they find: from is the table as t, with the rows of which the column has one of the values, to stand
// after FROM; conditions follow with AND. Sorted values have their rows locked in that order where more than one transaction writes. MySQL reads small tables whole whatever is after IN, and waits there for every row that another transaction has
// not committed yet; so there each value is one look into the index, which is PRIMARY or has the name of the first of its UNIQUE columns.
func (d Dialect) Find(table, index, column string, values []string, extra int, fn func(from string, args []any) error) error {
	if d.find == nil {
		return d.In(values, extra, func(in string, args []any) error { return fn(table+" AS t WHERE t."+column+" IN "+in, args) })
	}
	if len(values) == 0 {
		return nil
	}
	from, args, err := d.find(table, index, column, values)
	if err != nil {
		return err
	}
	return fn(from, args)
}

// Lookup is how a query finds rows by the values of a column that is unique or nearly so: "SELECT … FROM " + From + "(SELECT * FROM table WHERE column " + Is +
// " AND …" + End + ") AS t". Args come before all others. FOR UPDATE may follow End; rows are locked in the order of their values then, if they are sorted.
type Lookup struct {
	From, Is, End string
	Args          []any
}

// Each is [Dialect.In] for a [Lookup]. Where parameters may be arrays there is one piece, and for each value one look into the index: a young table, of
// which the planner knows nothing yet, is not scanned.
func (d Dialect) Each(values []string, extra int, fn func(Lookup) error) error {
	if !d.Arrays {
		return d.In(values, extra, func(in string, args []any) error { return fn(Lookup{Is: "IN " + in, Args: args}) })
	}
	if len(values) == 0 {
		return nil
	}
	return fn(Lookup{
		From: "(SELECT DISTINCT value FROM unnest(?::text[]) AS v(value) ORDER BY value) AS wanted CROSS JOIN LATERAL ", Is: "= wanted.value", End: " OFFSET 0", Args: []any{values},
	})
}

// powerOfTwo is the largest one that is not greater than n.
func powerOfTwo(n int) int { return 1 << (bits.Len(uint(n)) - 1) }

func marks(n int) string { return strings.Repeat("?, ", n-1) + "?" }
