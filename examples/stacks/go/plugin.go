// Go's standard library: `go run plugin.go`.
package main

import (
	"encoding/json"
	"log"
	"net/http"
)

type preExecuteArgs struct {
	Node struct {
		DisplayName string `json:"displayName"`
	} `json:"node"`
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}

func main() {
	http.HandleFunc("/node.preExecute", func(w http.ResponseWriter, r *http.Request) {
		var args preExecuteArgs
		if err := json.NewDecoder(r.Body).Decode(&args); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, map[string]any{"node": map[string]any{"message": "seen " + args.Node.DisplayName}})
	})
	http.HandleFunc("/parameters.add", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"parameters": map[string]string{"hello": "good morning"}})
	})
	log.Fatal(http.ListenAndServe("localhost:4355", nil))
}
