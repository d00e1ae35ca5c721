// Refuses workflows whose images are not pinned by a digest. Go's standard library is all it needs.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
)

type object = map[string]any

type container struct{ Image string }

type template struct {
	Name                     string
	Container, Script        *container
	InitContainers, Sidecars []container
	ContainerSet             struct{ Containers []container }
}

var pinned = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)

// What is wrong with it, empty if nothing is. Images with tags are looked at once these are substituted.
func (t template) fault() string {
	containers := []container{}
	for _, each := range []*container{t.Container, t.Script} {
		if each != nil {
			containers = append(containers, *each)
		}
	}
	containers = append(containers, t.ContainerSet.Containers...)
	containers = append(append(containers, t.InitContainers...), t.Sidecars...)
	var loose []string
	for _, each := range containers {
		if !strings.Contains(each.Image, "{{") && !pinned.MatchString(each.Image) {
			loose = append(loose, each.Image)
		}
	}
	if loose == nil {
		return ""
	}
	return fmt.Sprintf("template %s: %s: expected a digest", t.Name, strings.Join(loose, ", "))
}

type arguments struct {
	Workflow struct {
		Spec struct{ Templates []template }
	}
	Template template
}

func refuseWorkflow(args arguments) object {
	var faults []string
	for _, each := range args.Workflow.Spec.Templates {
		if fault := each.fault(); fault != "" {
			faults = append(faults, fault)
		}
	}
	if faults == nil {
		return object{}
	}
	return object{"workflow": object{"status": object{"phase": "Failed", "message": strings.Join(faults, "; ")}}}
}

func refuseNode(args arguments) object {
	if fault := args.Template.fault(); fault != "" {
		return object{"node": object{"phase": "Error", "message": fault}}
	}
	return object{}
}

func answer(method func(arguments) object) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		var args arguments
		if err := json.NewDecoder(request.Body).Decode(&args); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(response).Encode(method(args))
	}
}

func main() {
	http.HandleFunc("/workflow.preOperate", answer(refuseWorkflow))
	http.HandleFunc("/node.preExecute", answer(refuseNode)) // all else is answered with 404
	port := os.Getenv("PORT")
	if port == "" {
		port = "4355"
	}
	listener, err := net.Listen("tcp", "localhost:"+port)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
