// helm is Helm's own command line; its repository keeps the main package where `go install` cannot reach it.
package main

import (
	"errors"
	"fmt"
	"os"

	"helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
)

func main() {
	kube.ManagedFieldsManager = "helm" // the field manager that clusters know Helm by
	root, err := cmd.NewRootCmd(os.Stdout, os.Args[1:], cmd.SetupLogging)
	if err == nil {
		err = root.Execute()
	} else {
		fmt.Fprintln(os.Stderr, "helm:", err)
	}
	var coded cmd.CommandError
	switch {
	case errors.As(err, &coded):
		os.Exit(coded.ExitCode)
	case err != nil:
		os.Exit(1)
	}
}
