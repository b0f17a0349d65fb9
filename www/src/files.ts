// Where files come from: drops, the file dialogue, the URL, the clipboard. Not here: what is in them.

import { element } from "./dom";
import { plain } from "./format";

/** A file, or where it is. */
export interface NamedFile {
  name: string;
  from: Blob | string;
}

/** From now on files that are chosen, dropped or pasted are opened. */
export function listenForFiles(open: (files: NamedFile[]) => Promise<void>) {
  const take = (list: FileList | null | undefined) => {
    void open([...(list ?? [])].map((file) => ({ name: file.name, from: file })));
  };
  const input = element("file", HTMLInputElement);
  input.addEventListener("change", () => {
    take(input.files);
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    window.addEventListener(type, (event) => {
      event.preventDefault();
      document.body.classList.toggle("over", type === "dragover");
    });
  }
  window.addEventListener("drop", (event) => {
    take(event.dataTransfer?.files);
  });
  window.addEventListener("paste", (event) => {
    if ((event.clipboardData?.files.length ?? 0) > 0) {
      take(event.clipboardData?.files);
    }
  });
}

/** What the page's address names. */
export function urlsOfPage(): string[] {
  return new URLSearchParams(location.search).getAll("url");
}

/** The files that the page's address names; or why they are not opened. */
export function filesOfUrl(): NamedFile[] | string {
  const urls = urlsOfPage();
  const wanted = urls.map((url) => URL.parse(url, document.baseURI));
  const elsewhere = urls.find((_, index) => wanted[index]?.origin !== location.origin);
  if (elsewhere !== undefined) {
    return `${plain(elsewhere)} is on another machine: this page fetches nothing from elsewhere. Download it and drop it here.`;
  }
  return wanted.filter((url) => url !== null).map((url) => ({ name: lastPart(url), from: url.href }));
}

/** What a URL calls a file. */
function lastPart(url: URL): string {
  const part = url.pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
