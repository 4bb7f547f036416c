package integration_test

import (
	"os"
	"testing"

	"github.com/spanward/spanward/integration/proc"
)

func TestMain(m *testing.M) { os.Exit(proc.Main(m)) }
