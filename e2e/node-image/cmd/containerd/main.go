// containerd and its command-line client ctr share one binary; the name it is called by decides.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	daemon "github.com/containerd/containerd/v2/cmd/containerd/command"
	client "github.com/containerd/containerd/v2/cmd/ctr/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	var err error
	if name == "ctr" {
		err = client.New().Run(context.Background(), os.Args)
	} else {
		err = daemon.App().Run(context.Background(), os.Args)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
