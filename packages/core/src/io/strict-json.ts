/**
 * A JSON (RFC 8259) reader for file headers. Unlike JSON.parse it refuses duplicate keys and text that is not valid
 * Unicode, keeps the spelling of numbers (so that 1.0, 1e3 and integers beyond 2^53 can be told from sizes), and reads
 * objects into Maps (so that "__proto__" is a key like any other).
 */

export class JsonNumber {
  readonly literal: string;

  constructor(literal: string) {
    this.literal = literal;
  }
}

export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;
export type JsonObject = Map<string, JsonValue>;

/** The text is not what it should be at the character `position`. */
export class JsonSyntaxError extends SyntaxError {
  override readonly name = "JsonSyntaxError";
  readonly position: number;

  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

const MAX_DEPTH = 128;
const WHITESPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: readonly (readonly [string, null | boolean])[] = [
  ["null", null],
  ["true", true],
  ["false", false],
];

/**
 * Parses one JSON value that fills the whole text.
 *
 * @throws JsonSyntaxError where the text departs from the grammar, repeats a key or nests deeper than 128
 */
export function parseStrictJson(text: string): JsonValue {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonValue {
    this.#skipWhitespace();
    if (depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH}`);
    switch (this.#text[this.#position]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      default:
        return this.#wordOrNumber();
    }
  }

  end(): void {
    this.#skipWhitespace();
    if (this.#position < this.#text.length) this.#fail("unexpected text after the value");
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = new Map();
    this.#position += 1;
    if (this.#take("}")) return object;
    do {
      this.#skipWhitespace();
      const keyPosition = this.#position;
      if (this.#text[keyPosition] !== '"') this.#fail("expected a key in double quotes");
      const key = this.#string();
      if (object.has(key)) this.#fail(`duplicate key ${JSON.stringify(key)}`, keyPosition);
      if (!this.#take(":")) this.#fail('expected ":"');
      object.set(key, this.value(depth + 1));
    } while (this.#take(","));
    if (!this.#take("}")) this.#fail('expected "," or "}"');
    return object;
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    this.#position += 1;
    if (this.#take("]")) return array;
    do array.push(this.value(depth + 1));
    while (this.#take(","));
    if (!this.#take("]")) this.#fail('expected "," or "]"');
    return array;
  }

  #string(): string {
    const start = this.#position;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === "\\" ? 2 : 1;
    if (end >= this.#text.length) this.#fail("unterminated string");
    const value = this.#decodeString(start, end + 1);
    this.#position = end + 1;
    return value;
  }

  #decodeString(start: number, end: number): string {
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, end));
    } catch {
      return this.#fail("invalid escape or control character in a string");
    }
    return value.isWellFormed() ? value : this.#fail("unpaired surrogate in a string");
  }

  #wordOrNumber(): JsonValue {
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, this.#position)) continue;
      this.#position += word.length;
      return value;
    }
    NUMBER.lastIndex = this.#position;
    const match = NUMBER.exec(this.#text);
    if (match === null) return this.#fail(this.#position < this.#text.length ? "expected a value" : "unexpected end");
    this.#position = NUMBER.lastIndex;
    return new JsonNumber(match[0]);
  }

  /** Steps over `character` if it is the next one that is not whitespace. */
  #take(character: string): boolean {
    this.#skipWhitespace();
    if (this.#text[this.#position] !== character) return false;
    this.#position += 1;
    return true;
  }

  #skipWhitespace(): void {
    WHITESPACE.lastIndex = this.#position;
    WHITESPACE.test(this.#text);
    this.#position = WHITESPACE.lastIndex;
  }

  #fail(message: string, position = this.#position): never {
    throw new JsonSyntaxError(message, position);
  }
}
