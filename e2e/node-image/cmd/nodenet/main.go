// nodenet is the pod network of a node: it writes the CNI configuration for the node's pod range and keeps one
// route to every other node's range. It runs where kind runs its own agent, which no module registry carries.
// It neither masquerades nor enforces network policies.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	confPath = "/etc/cni/net.d/10-nodenet.conflist"
	// interval is how long a new node, or a link that came back without its routes, goes unnoticed. A list of
	// four nodes costs the API server well below a millisecond.
	interval = 2 * time.Second
	// linkMTU is what docker gives its bridges unless told otherwise.
	linkMTU = 1500
)

func main() {
	self := os.Getenv("HOST_IP")
	if self == "" {
		log.Fatal("HOST_IP must name this node's address")
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	// kind names the API server's own address here, so that the network does not wait for kube-proxy.
	if endpoint := os.Getenv("CONTROL_PLANE_ENDPOINT"); endpoint != "" {
		config.Host = "https://" + endpoint
	}
	config.Timeout = 10 * time.Second
	client := kubernetes.NewForConfigOrDie(config)
	for {
		if err := sync(client, self); err != nil {
			log.Print(err)
		}
		time.Sleep(interval)
	}
}

// sync brings configuration and routes of this node in line with the nodes that the API server lists.
func sync(client kubernetes.Interface, self string) error {
	nodes, err := client.CoreV1().Nodes().List(context.Background(), meta.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	var failures []error
	for _, node := range nodes.Items {
		address := internalAddress(node)
		_, pods, err := net.ParseCIDR(node.Spec.PodCIDR)
		switch {
		case err != nil || address == nil:
			continue // the controller manager has not given it a range yet
		case address.String() == self:
			err = writeConf(pods)
		default:
			err = netlink.RouteReplace(&netlink.Route{Dst: pods, Gw: address})
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("node %s: %w", node.Name, err))
		}
	}
	return errors.Join(failures...)
}

func internalAddress(node core.Node) net.IP {
	for _, a := range node.Status.Addresses {
		if a.Type == core.NodeInternalIP {
			return net.ParseIP(a.Address)
		}
	}
	return nil
}

// writeConf replaces the file in one step: containerd watches the folder and would read half a file.
func writeConf(pods *net.IPNet) error {
	type object = map[string]any
	conf, err := json.MarshalIndent(object{
		"cniVersion": "0.3.1",
		"name":       "nodenet",
		"plugins": []object{
			{"type": "ptp", "mtu": linkMTU, "ipMasq": false, "ipam": object{
				"type":    "host-local",
				"dataDir": "/run/nodenet", // gone with a restart of the node, as its pods are
				"ranges":  [][]object{{{"subnet": pods.String()}}},
				"routes":  []object{{"dst": "0.0.0.0/0"}},
			}},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(confPath); err == nil && string(have) == string(conf) {
		return nil
	}
	log.Print("pods of this node: ", pods)
	tmp := confPath + ".tmp" // containerd reads names that end in .conf, .conflist and .json
	if err := os.WriteFile(tmp, conf, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, confPath)
}
