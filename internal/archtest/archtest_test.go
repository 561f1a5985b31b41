package archtest_test

import (
	"os"
	"testing"

	"github.com/alpespartners/alpespartners/internal/archtest"
)

const module = "github.com/alpespartners/alpespartners"

func TestModule(t *testing.T) {
	t.Parallel()
	tree, err := archtest.Load(os.DirFS("../.."), module)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range archtest.Check(tree, archtest.Rules(), archtest.Exceptions()) {
		t.Error(v)
	}
}
