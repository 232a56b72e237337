package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answer sends one request to a fresh httpbin.
func answer(t *testing.T, method, target, body string, header http.Header) *http.Response {
	t.Helper()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	for name, values := range header {
		request.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	httpbin().ServeHTTP(recorder, request)
	return recorder.Result()
}

func decoded(t *testing.T, response *http.Response) object {
	t.Helper()
	var shown object
	if err := json.NewDecoder(response.Body).Decode(&shown); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	return shown
}

func TestHTTPBinShowsHeaders(t *testing.T) {
	given := http.Header{"X-Forwarded-Client-Cert": {"By=spiffe://a"}, "X-Many": {"1", "2"}}
	shown := decoded(t, answer(t, "GET", "http://httpbin:8000/headers", "", given))["headers"].(map[string]any)
	for name, want := range map[string]string{
		"Host": "httpbin:8000", "X-Forwarded-Client-Cert": "By=spiffe://a", "X-Many": "1,2",
	} {
		if shown[name] != want {
			t.Errorf("%s: %v, want %s", name, shown[name], want)
		}
	}
}

func TestHTTPBinAnswersWithTheStatusAskedFor(t *testing.T) {
	for target, want := range map[string]int{
		"/status/200": 200, "/status/418": 418, "/status/503": 503, "/status/nonsense": 400,
		"/get": 200, "/ip": 200, "/html": 200, "/uuid": 200, "/delay/0": 200, "/anything/at/all": 200,
		"/redirect/2": 302, "/redirect-to?url=/get&status_code=307": 307, "/bearer": 401,
		"/basic-auth/u/p": 401, "/bytes/7": 200, "/no-such-page": 404,
	} {
		if got := answer(t, "GET", target, "", nil).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", target, got, want)
		}
	}
}

func TestHTTPBinDescribesABody(t *testing.T) {
	posted := answer(t, "POST", "/post?a=1&b=2&b=3", `{"k": "<v>"}`, http.Header{"Content-Type": {"application/json"}})
	shown := decoded(t, posted)
	if shown["data"] != `{"k": "<v>"}` || shown["json"].(map[string]any)["k"] != "<v>" {
		t.Errorf("body not described: %v", shown)
	}
	args := shown["args"].(map[string]any)
	if args["a"] != "1" || len(args["b"].([]any)) != 2 {
		t.Errorf("args: %v", args)
	}
	form := answer(t, "PUT", "/anything", "name=x", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	shown = decoded(t, form)
	if shown["form"].(map[string]any)["name"] != "x" || shown["method"] != "PUT" {
		t.Errorf("form not described: %v", shown)
	}
}

func TestHelloworldSaysVersionAndInstance(t *testing.T) {
	recorder := httptest.NewRecorder()
	helloworld("v2", "pod-7").ServeHTTP(recorder, httptest.NewRequest("GET", "/hello", nil))
	if got := recorder.Body.String(); got != "Hello version: v2, instance: pod-7\n" {
		t.Errorf("got %q", got)
	}
}

func TestTCPEchoAnswersEachLineBehindThePrefix(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go acceptEcho(listener, "one")
	var got bytes.Buffer
	if err := netcat(listener.Addr().String(), strings.NewReader("hello\nworld\n"), &got); err != nil {
		t.Fatal(err)
	}
	if got.String() != "one hello\none world\n" {
		t.Errorf("got %q", got.String())
	}
}

func TestUnknownRoleIsRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"nonsense"}, {"tcp-echo"}, {"httpbin", "a", "b"}} {
		if err := run("standin", args); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func TestStreamSendsOneObjectALine(t *testing.T) {
	body, err := io.ReadAll(answer(t, "GET", "/stream/3", "", nil).Body)
	if err != nil || strings.Count(string(body), "\n") != 3 {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestGRPCHealthIsServing(t *testing.T) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := httptest.NewUnstartedServer(healthy())
	server.Config.Protocols = protocols
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	response, err := client.Post(server.URL+healthCheck, "application/grpc", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || !bytes.Equal(body, []byte{0, 0, 0, 0, 2, 8, 1}) {
		t.Errorf("body %v, error %v", body, err)
	}
	if status := response.Trailer.Get("Grpc-Status"); status != "0" {
		t.Errorf("grpc-status %q", status)
	}
}
