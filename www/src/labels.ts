// The names of the rows, beside the picture. Not here: the picture.

import { plain } from "./format";
import type { Picture, PlacedRow } from "./protocol";
import { ROW } from "./drawing";

/** The names of the rows, beside the picture: a tree for screen readers. */
export class Labels {
  constructor(
    private readonly element: HTMLElement,
    private readonly scroller: HTMLElement,
  ) {}

  show(picture: Picture | undefined, found: Set<string>, isSelected: (row: PlacedRow) => boolean) {
    const rows = picture?.rows ?? [];
    while (this.element.childElementCount > rows.length) {
      this.element.lastElementChild?.remove();
    }
    for (const [index, row] of rows.entries()) {
      const item = (this.element.children[index] as HTMLElement | undefined) ?? this.newLabel();
      item.dataset.index = index.toString();
      item.id = `row-${row.trace.toString()}-${row.row?.toString() ?? "file"}`;
      item.style.transform = `translateY(${(((picture?.first ?? 0) + index) * ROW).toString()}px)`;
      item.style.paddingInlineStart = `${(row.depth * 14).toString()}px`;
      item.className = `kind${row.kind.toString()}`;
      item.classList.toggle("found", found.has(`${row.trace.toString()}/${row.row?.toString() ?? ""}`));
      item.ariaLevel = (row.depth + 1).toString();
      item.ariaPosInSet = ((picture?.first ?? 0) + index + 1).toString();
      item.ariaSetSize = (picture?.total ?? 0).toString();
      item.ariaSelected = isSelected(row).toString();
      item.ariaExpanded = row.expandable ? row.open.toString() : null;
      const [fold, label, note] = item.children;
      if (fold && label && note) {
        fold.textContent = row.expandable ? (row.open ? "▾" : "▸") : "";
        label.textContent = plain(row.label === "" ? "?" : row.label);
        note.textContent = plain(row.note);
        item.title = `${label.textContent} ${note.textContent}`;
      }
    }
    const selected = rows.find((row) => isSelected(row));
    const active = selected && `row-${selected.trace.toString()}-${selected.row?.toString() ?? "file"}`;
    this.scroller.setAttribute("aria-activedescendant", active ?? "");
  }

  private newLabel(): HTMLElement {
    const item = document.createElement("div");
    item.role = "treeitem";
    for (const name of ["fold", "label", "note"]) {
      const part = document.createElement("span");
      part.className = name;
      item.append(part);
    }
    (item.firstElementChild as HTMLElement).ariaHidden = "true";
    this.element.append(item);
    return item;
  }
}
