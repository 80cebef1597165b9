// Reads a Compose file as Docker Compose itself does, and says what is wrong with it. With --json it writes what it
// read: names, variables and short forms resolved.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	files := os.Args[1:]
	whole := len(files) > 0 && files[0] == "--json"
	if whole {
		files = files[1:]
	}
	options, err := cli.NewProjectOptions(files, cli.WithConsistency(true), cli.WithProfiles([]string{"*"}), cli.WithInterpolation(true))
	if err == nil {
		project, problem := options.LoadProject(context.Background())
		if err = problem; err == nil && whole {
			var read []byte
			if read, err = project.MarshalJSON(); err == nil {
				os.Stdout.Write(read)
				return
			}
		} else if err == nil {
			fmt.Printf("%d services\n", len(project.Services))
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
