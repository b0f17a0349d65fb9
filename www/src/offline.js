// The service worker, behind a line each with NAME and FILES: what was built is kept, everything else is not touched.
self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)));
});
self.addEventListener("activate", (event) => {
  const others = caches.keys().then((names) => names.filter((name) => name.startsWith("nsscope-") && name !== NAME));
  event.waitUntil(others.then((names) => Promise.all(names.map((name) => caches.delete(name)))));
});
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method === "GET" && url.origin === self.location.origin) {
    // A page with another query is the same page.
    const kept = caches.match(event.request, { ignoreSearch: event.request.mode === "navigate", ignoreVary: true });
    event.respondWith(kept.then((answer) => answer ?? fetch(event.request)));
  }
});
