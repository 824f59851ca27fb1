/**
 * What work reads and changes beside messages: gradients' places, sums that are pending, a module's mode. Recorded work
 * (tape.ts) may be issued again only where it finds what it found, and leaves behind what it left.
 */

/** Something that the coordinator knows of an object. */
export interface Property<T extends object, S> {
  get(owner: T): S;
  /** Left out where only the program sets it: then recorded work that found another state is out of date. */
  set?(owner: T, state: S): void;
  /** By default `Object.is`. */
  isSame?(a: S, b: S): boolean;
  /** Whether nobody will ask again. */
  isOver?(owner: T): boolean;
}

interface Note {
  readonly owner: object;
  readonly property: Property<object, unknown>;
  /** Whether the work read it before changing it, and what it found then. */
  readonly isRead: boolean;
  readonly found: unknown;
  isChanged: boolean;
  left: unknown;
}

export class Notes {
  readonly #notes = new Map<Property<object, unknown>, Map<object, Note>>();
  /** States that the work set and replaced again. */
  readonly #passed: unknown[] = [];
  #guards: readonly Note[] = [];
  #found: readonly Note[] = [];
  #left: readonly Note[] = [];

  /** The work reads it now. */
  read<T extends object, S>(owner: T, property: Property<T, S>): void {
    this.#note(owner, property, true);
  }

  /** The work is about to change it. */
  change<T extends object, S>(owner: T, property: Property<T, S>): void {
    const note = this.#note(owner, property, false);
    if (note.isChanged) this.#passed.push(property.get(owner));
    note.isChanged = true;
  }

  /** Ends the noting. */
  finish(): void {
    const notes = [...this.#notes.values()].flatMap((own) => [...own.values()]);
    const lasting = notes.filter(({ owner, property }) => property.isOver?.(owner) !== true);
    for (const note of lasting) note.left = note.property.get(note.owner);
    this.#guards = lasting.filter(({ isRead, property }) => isRead && property.set === undefined);
    this.#found = lasting.filter(({ isRead, property }) => isRead && property.set !== undefined);
    this.#left = lasting.filter(({ isChanged }) => isChanged);
    this.#notes.clear();
    this.#passed.length = 0;
  }

  /** What the work set so far: states that stand now, and others that it has replaced again. */
  changes<T extends object, S>(
    property: Property<T, S>,
  ): { readonly standing: readonly S[]; readonly passed: readonly S[] } {
    const notes = [...(this.#notes.get(property)?.values() ?? [])].filter(({ isChanged }) => isChanged);
    return { standing: notes.map(({ owner }) => property.get(owner as T)), passed: this.#passed as S[] };
  }

  /** Whether what only the program sets is as it was. */
  get isUpToDate(): boolean {
    return this.#guards.every(isAsFound);
  }

  /** Whether all else that the work found is as it was. */
  get isMet(): boolean {
    return this.#found.every(isAsFound);
  }

  /** Leaves behind what the work left. */
  restore(): void {
    for (const { owner, property, left } of this.#left) property.set?.(owner, left);
  }

  /** States that the work left and that are there still. */
  standing<T extends object, S>(property: Property<T, S>): readonly S[] {
    const own = this.#left.filter((note) => note.property === (property as object));
    return own.filter(({ owner, left }) => property.get(owner as T) === left).map(({ left }) => left as S);
  }

  #note(owner: object, property: Property<object, unknown>, isRead: boolean): Note {
    let own = this.#notes.get(property);
    if (own === undefined) this.#notes.set(property, (own = new Map()));
    let note = own.get(owner);
    if (note === undefined) {
      const found = isRead ? property.get(owner) : undefined;
      own.set(owner, (note = { owner, property, isRead, found, isChanged: false, left: undefined }));
    }
    return note;
  }
}

function isAsFound({ owner, property, found }: Note): boolean {
  const state = property.get(owner);
  return property.isSame?.(state, found) ?? Object.is(state, found);
}
