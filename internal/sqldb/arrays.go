package sqldb

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
)

// unnested inserts all rows with one statement, whose text is the same for any number of them.
func (d Dialect) unnested(ctx context.Context, tx sqlx.ExtContext, in Insert, head, expressions string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	args, err := Columns(rows, len(in.Columns))
	if err != nil {
		return fmt.Errorf("sqldb: insert into %s: %w", in.Table, err)
	}
	types := make([]byte, len(args))
	for i, column := range args {
		types[i] = arrayType(column)
	}
	query := head + "SELECT " + names(0, len(args)) + expressions + " FROM " + Unnest(1, string(types)) + " ORDER BY n"
	if in.Suffix != "" {
		query += " " + in.Suffix
	}
	_, err = tx.ExecContext(ctx, query, args...)
	return err
}

// Unnest is a table "u" of array parameters, the first of which has the number from, for a FROM clause. Its columns are c0, c1 and so on, each of the
// type that a letter stands for: t is text, i an integer, b bytes. Its last column, n, is the row's number. The arrays are walked side by side as the
// rows are wanted, while unnest with several of them in a FROM clause would write each into a table of its own first.
func Unnest(from int, types string) string {
	return table(from, types, func(param string) string { return "unnest(" + param + "[])" }, "generate_subscripts("+param(from, types, 0)+"[], 1)")
}

// One is the table of [Unnest] with one row, whose parameters are no arrays.
func One(from int, types string) string {
	return table(from, types, func(param string) string { return param }, "1")
}

func table(from int, types string, column func(param string) string, number string) string {
	columns := make([]string, len(types))
	for i := range columns {
		columns[i] = column(param(from, types, i))
	}
	return "(SELECT " + strings.Join(columns, ", ") + ", " + number + ") AS u(" + names(0, len(types)) + ", n)"
}

func param(from int, types string, i int) string {
	return "$" + strconv.Itoa(from+i) + "::" + map[byte]string{'t': "text", 'i': "bigint", 'b': "bytea"}[types[i]]
}

func names(from, to int) string {
	all := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		all = append(all, "c"+strconv.Itoa(i))
	}
	return strings.Join(all, ", ")
}

func arrayType(column any) byte {
	switch column.(type) {
	case []string:
		return 't'
	case [][]byte:
		return 'b'
	default:
		return 'i'
	}
}

// Columns returns rows of n values as n arrays, each of the type of its first row's value: texts, bytes, numbers, or pointers to numbers, which may be nil.
func Columns(rows [][]any, n int) ([]any, error) {
	columns := make([]any, n)
	for i := range columns {
		var err error
		if columns[i], err = column(rows, i); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

func column(rows [][]any, i int) (any, error) {
	if len(rows) == 0 {
		return []string{}, nil
	}
	switch rows[0][i].(type) {
	case string:
		return valuesOf[string](rows, i)
	case []byte:
		return valuesOf[[]byte](rows, i)
	case *int64:
		return valuesOf[*int64](rows, i)
	case int64:
		return valuesOf[int64](rows, i)
	case int:
		return valuesOf[int](rows, i)
	default:
		return nil, fmt.Errorf("a %T cannot be in an array", rows[0][i])
	}
}

func valuesOf[T any](rows [][]any, i int) ([]T, error) {
	values := make([]T, len(rows))
	for at, row := range rows {
		if i >= len(row) {
			return nil, fmt.Errorf("a row of %d values", len(row))
		}
		v, ok := row[i].(T)
		if !ok {
			return nil, fmt.Errorf("a %T in a column of %T", row[i], v)
		}
		values[at] = v
	}
	return values, nil
}
