// Reads a Compose file as Docker Compose itself does, and says what is wrong with it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithConsistency(true), cli.WithProfiles([]string{"*"}), cli.WithInterpolation(true))
	if err == nil {
		project, problem := options.LoadProject(context.Background())
		if err = problem; err == nil {
			fmt.Printf("%d services\n", len(project.Services))
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
