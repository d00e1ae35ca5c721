// Go's net/http as its users would tune it: one transport that keeps every connection, and as many goroutines.
// With one connection it is the sequential loop, each call sent when the one before it was answered.
//
// Argument: {"url", "body", "calls", "connections"}. Prints {"calls", "seconds", "cpu_seconds",
// "system_seconds", "errors"}.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type task struct {
	URL         string `json:"url"`
	Body        string `json:"body"`
	Calls       int64  `json:"calls"`
	Connections int    `json:"connections"`
}

type outcome struct {
	Calls         int64   `json:"calls"`
	Seconds       float64 `json:"seconds"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	SystemSeconds float64 `json:"system_seconds"`
	Errors        int64   `json:"errors"`
}

// used is the user plus system time, and the system time alone, that the operating system charged to this process.
func used() (cpu, system float64) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	system = float64(usage.Stime.Nano()) / 1e9
	return float64(usage.Utime.Nano())/1e9 + system, system
}

func post(client *http.Client, t task) bool {
	response, err := client.Post(t.URL, "application/json", strings.NewReader(t.Body))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// send makes the calls from as many goroutines as connections and returns how many failed.
func send(client *http.Client, t task, calls int64) int64 {
	var left, failed atomic.Int64
	left.Store(calls)
	var workers sync.WaitGroup
	for i := 0; i < t.Connections; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for left.Add(-1) >= 0 {
				if !post(client, t) {
					failed.Add(1)
				}
			}
		}()
	}
	workers.Wait()
	return failed.Load()
}

func main() {
	var t task
	if err := json.Unmarshal([]byte(os.Args[1]), &t); err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: t.Connections,
		MaxConnsPerHost:     t.Connections,
		DisableCompression:  true,
	}}
	send(client, t, int64(t.Connections)*4)
	cpuBefore, systemBefore := used()
	start := time.Now()
	failed := send(client, t, t.Calls)
	seconds := time.Since(start).Seconds()
	cpu, system := used()
	result := outcome{t.Calls, seconds, cpu - cpuBefore, system - systemBefore, failed}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
