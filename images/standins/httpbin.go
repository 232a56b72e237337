package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object; its keys are written in order.
type object map[string]any

// longestDelay bounds /delay, as httpbin does.
const longestDelay = 10 * time.Second

// httpbin answers the part of httpbin's API that tests and tutorials of service meshes use, with
// its JSON shapes.
func httpbin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", page("httpbin", "A simple HTTP request and response service."))
	mux.HandleFunc("/html", page("Herman Melville - Moby-Dick", "Call me Ishmael."))
	mux.HandleFunc("/robots.txt", text("User-agent: *\nDisallow: /deny\n"))
	mux.HandleFunc("/deny", text("YOU SHOULDN'T BE HERE\n"))
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, object{"slideshow": object{"title": "Sample Slide Show", "author": "Yours Truly"}})
	})

	mux.HandleFunc("GET /get", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, request(r))
	})
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		mux.HandleFunc(method+" /"+strings.ToLower(method), echo)
	}
	mux.HandleFunc("/anything", anything)
	mux.HandleFunc("/anything/", anything)
	mux.HandleFunc("/delay/{seconds}", delay)
	mux.HandleFunc("/status/{codes}", status)

	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"headers": headers(r)})
	})
	mux.HandleFunc("GET /ip", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"origin": origin(r)})
	})
	mux.HandleFunc("GET /user-agent", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"user-agent": r.UserAgent()})
	})
	mux.HandleFunc("GET /uuid", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, object{"uuid": uuid()})
	})
	mux.HandleFunc("/response-headers", responseHeaders)

	mux.HandleFunc("GET /cookies", cookies)
	mux.HandleFunc("GET /cookies/set", setCookies)
	mux.HandleFunc("GET /basic-auth/{user}/{password}", basicAuth)
	mux.HandleFunc("GET /bearer", bearer)

	mux.HandleFunc("GET /redirect/{times}", redirect)
	mux.HandleFunc("GET /relative-redirect/{times}", redirect)
	mux.HandleFunc("/redirect-to", redirectTo)

	mux.HandleFunc("GET /bytes/{count}", randomBytes)
	mux.HandleFunc("GET /stream/{count}", stream)
	mux.HandleFunc("GET /base64/{value}", decodeBase64)
	return withServerHeaders(mux)
}

func withServerHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "gunicorn/19.9.0")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		next.ServeHTTP(w, r)
	})
}

// === what a request says ===

// request describes what every method has.
func request(r *http.Request) object {
	return object{"args": single(r.URL.Query()), "headers": headers(r), "origin": origin(r), "url": fullURL(r)}
}

// requestWithBody adds what the body says. A body that can't be read describes itself as empty.
func requestWithBody(r *http.Request) object {
	described := request(r)
	form, files := url.Values{}, object{}
	described["json"], described["data"] = nil, ""
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		if r.ParseForm() == nil {
			form = r.PostForm
		}
	case "multipart/form-data":
		if r.ParseMultipartForm(1<<20) == nil {
			form = r.MultipartForm.Value
			for name, parts := range r.MultipartForm.File {
				files[name] = contents(parts[0].Open())
			}
		}
	default:
		body := contents(r.Body, nil)
		described["data"] = body
		var parsed any
		if json.Unmarshal([]byte(body), &parsed) == nil {
			described["json"] = parsed
		}
	}
	described["form"], described["files"] = single(form), files
	return described
}

func contents(reader io.Reader, err error) string {
	if err != nil {
		return ""
	}
	data, err := io.ReadAll(reader)
	if err != nil {
		return ""
	}
	return string(data)
}

func headers(r *http.Request) object {
	shown := object{"Host": r.Host}
	for name, values := range r.Header {
		shown[name] = strings.Join(values, ",")
	}
	if r.ContentLength > 0 {
		shown["Content-Length"] = strconv.FormatInt(r.ContentLength, 10)
	}
	return shown
}

// single shows a value that was given once as a string, and one given more often as a list.
func single(values url.Values) object {
	shown := object{}
	for name, given := range values {
		if len(given) == 1 {
			shown[name] = given[0]
		} else {
			shown[name] = given
		}
	}
	return shown
}

func origin(r *http.Request) string {
	if forwarded := r.Header.Get("X-Forwarded-For"); forwarded != "" {
		return forwarded
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func fullURL(r *http.Request) string {
	scheme := "http"
	if forwarded := r.Header.Get("X-Forwarded-Proto"); forwarded != "" {
		scheme = forwarded
	}
	return scheme + "://" + r.Host + r.URL.RequestURI()
}

// === what is answered ===

func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	encoder.Encode(value)
}

func page(title, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html>\n<html>\n<head><title>%s</title></head>\n<body><h1>%s</h1><p>%s</p></body>\n</html>\n",
			title, title, body)
	}
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, body)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, requestWithBody(r))
}

func anything(w http.ResponseWriter, r *http.Request) {
	described := requestWithBody(r)
	described["method"] = r.Method
	writeJSON(w, http.StatusOK, described)
}

// number reads a path segment; where it is none, it answers 404 and says false.
func number(w http.ResponseWriter, r *http.Request, name string) (int, bool) {
	value, err := strconv.Atoi(r.PathValue(name))
	if err != nil || value < 0 {
		http.NotFound(w, r)
		return 0, false
	}
	return value, true
}

func delay(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(r.PathValue("seconds"), 64)
	if err != nil || seconds < 0 {
		http.NotFound(w, r)
		return
	}
	described := requestWithBody(r)
	wait := min(time.Duration(seconds*float64(time.Second)), longestDelay)
	select {
	case <-time.After(wait):
		writeJSON(w, http.StatusOK, described)
	case <-r.Context().Done():
	}
}

// status answers with the code, or with one of several: /status/200,500.
func status(w http.ResponseWriter, r *http.Request) {
	codes := strings.Split(r.PathValue("codes"), ",")
	code, err := strconv.Atoi(codes[time.Now().UnixNano()%int64(len(codes))])
	if err != nil || code < 200 || code > 999 {
		http.Error(w, "Invalid status code", http.StatusBadRequest)
		return
	}
	switch {
	case code == http.StatusTeapot:
		w.WriteHeader(code)
		io.WriteString(w, "I'm a teapot!\n")
		return
	case code >= 300 && code < 400:
		w.Header().Set("Location", "/redirect/1")
	case code == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Fake Realm"`)
	}
	w.WriteHeader(code)
}

func responseHeaders(w http.ResponseWriter, r *http.Request) {
	for name, values := range r.URL.Query() {
		for _, value := range values {
			w.Header().Add(name, value)
		}
	}
	writeJSON(w, http.StatusOK, single(r.URL.Query()))
}

func cookies(w http.ResponseWriter, r *http.Request) {
	shown := object{}
	for _, cookie := range r.Cookies() {
		shown[cookie.Name] = cookie.Value
	}
	writeJSON(w, http.StatusOK, object{"cookies": shown})
}

func setCookies(w http.ResponseWriter, r *http.Request) {
	for name, values := range r.URL.Query() {
		http.SetCookie(w, &http.Cookie{Name: name, Value: values[0], Path: "/"})
	}
	http.Redirect(w, r, "/cookies", http.StatusFound)
}

func basicAuth(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != r.PathValue("user") || password != r.PathValue("password") {
		w.Header().Set("WWW-Authenticate", `Basic realm="Fake Realm"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	writeJSON(w, http.StatusOK, object{"authenticated": true, "user": user})
}

func bearer(w http.ResponseWriter, r *http.Request) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	writeJSON(w, http.StatusOK, object{"authenticated": true, "token": token})
}

func redirect(w http.ResponseWriter, r *http.Request) {
	times, ok := number(w, r, "times")
	if !ok {
		return
	}
	target := "/get"
	if times > 1 {
		target = fmt.Sprintf("/relative-redirect/%d", times-1)
	}
	http.Redirect(w, r, target, http.StatusFound)
}

func redirectTo(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.FormValue("status_code"))
	if err != nil || code < 300 || code > 399 {
		code = http.StatusFound
	}
	w.Header().Set("Location", r.FormValue("url"))
	w.WriteHeader(code)
}

func randomBytes(w http.ResponseWriter, r *http.Request) {
	count, ok := number(w, r, "count")
	if !ok {
		return
	}
	data := make([]byte, min(count, 100*1024))
	rand.Read(data)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(data)
}

// stream writes one JSON object a line, each sent at once.
func stream(w http.ResponseWriter, r *http.Request) {
	count, ok := number(w, r, "count")
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	for id := range min(count, 100) {
		described := request(r)
		described["id"] = id
		encoder.Encode(described)
		http.NewResponseController(w).Flush()
	}
}

func decodeBase64(w http.ResponseWriter, r *http.Request) {
	decoded, err := base64.URLEncoding.DecodeString(r.PathValue("value"))
	if err != nil {
		io.WriteString(w, "Incorrect Base64 data try: SFRUUEJJTiBpcyBhd2Vzb21l")
		return
	}
	w.Write(decoded)
}

func uuid() string {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
