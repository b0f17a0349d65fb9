// The controls above the picture, by which rows are made. Not here: the rows.

import { element } from "./dom";
import { type Arrangement, BEGINNING } from "./protocol";

const definition = element("definition", HTMLInputElement);
export const filter = element("filter", HTMLInputElement);
const group = element("group", HTMLSelectElement);
const order = element("order", HTMLSelectElement);

/** Shows what rows are made by. */
export function fill(by: Arrangement) {
  definition.value = by.definition;
  filter.value = by.filter;
  group.value = by.group;
  order.value = by.order;
}

/** What rows are to be made by. */
export function asked(): Arrangement {
  return {
    definition: definition.value.trim() || BEGINNING.definition,
    filter: filter.value.trim(),
    group: group.value,
    order: order.value,
  };
}

/** Marks what cannot be understood; undefined: all can. */
export function mark(wrong: string | undefined) {
  for (const input of [definition, filter]) {
    input.classList.remove("wrong");
    input.setCustomValidity("");
  }
  if (wrong !== undefined) {
    const input = /type|definition|by:/.test(wrong) ? definition : filter;
    input.classList.add("wrong");
    input.setCustomValidity(wrong);
    input.reportValidity();
  }
}

/** Calls when one of them has changed. */
export function onChange(act: () => void) {
  for (const input of [definition, filter, group, order]) {
    input.addEventListener("change", act);
  }
}
