// The bytes of a file, plain or compressed. Not here: what they mean.

import { Unzstd } from "@nsscope/wasm";

/** Where the bytes are. `read` gives at most `length` bytes from `offset`; none at the end. */
export interface Source {
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** The bytes of a file as it is. */
export class Plain implements Source {
  constructor(private readonly blob: Blob) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.blob.slice(offset, offset + length).arrayBuffer());
  }
}

/** A stream of bytes and the offset of its first. */
interface Begun {
  stream: ReadableStream<Uint8Array>;
  at: number;
}

/** The bytes of what can be read only onward: a read that goes back begins anew, one far ahead may. */
export class Streamed implements Source {
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** What came last and was not yet given out, and where it begins. */
  private held = new Uint8Array(0);
  private at = 0;

  /**
   * @param begin gives the bytes from `offset` on, or from an earlier one if it cannot
   * @param ahead how far ahead it is worth to begin anew, in bytes
   */
  constructor(
    private readonly begin: (offset: number) => Promise<Begun>,
    private readonly ahead: number,
  ) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.reader === undefined || offset < this.at || offset - this.at > this.ahead) {
      // One that has failed cannot be cancelled, and need not.
      await this.reader?.cancel().catch(() => undefined);
      const { stream, at } = await this.begin(offset);
      this.reader = stream.getReader();
      this.held = new Uint8Array(0);
      this.at = at;
    }
    while (this.at + this.held.length <= offset) {
      this.at += this.held.length;
      const { done, value } = await this.reader.read();
      this.held = new Uint8Array(0);
      if (done) {
        return this.held;
      }
      this.held = new Uint8Array(value);
    }
    const skip = offset - this.at;
    const piece = this.held.slice(skip, skip + length);
    this.held = this.held.slice(skip + piece.length);
    this.at = offset + piece.length;
    return piece;
  }
}

function unzstd(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const unpacker = new Unzstd();
  const transform = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      unpacker.push(chunk);
      for (let plain = unpacker.pull(); plain.length > 0; plain = unpacker.pull()) {
        controller.enqueue(plain);
      }
    },
  });
  return stream.pipeThrough(transform);
}

function gunzip(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  return (stream as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new DecompressionStream("gzip"));
}

/** Size of a header of an archive of tar(1), and what contents are filled up to. */
const BLOCK = 512;
const MAGICS = ["PERFILE2", "2ELIFREP"];

function ascii(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

function isArchive(block: Uint8Array): boolean {
  return ascii(block, 257, 262) === "ustar";
}

/** The size of an entry: octal digits, or a number in 8 bytes after a first byte of 0x80. */
function sizeOf(header: Uint8Array): number {
  const field = header.subarray(124, 136);
  const size = (field[0] ?? 0) & 0x80 ? field.subarray(4).reduce((sum, byte) => sum * 256 + byte, 0) : parseInt(ascii(field, 0, 12), 8);
  if (!Number.isSafeInteger(size)) {
    throw new Error("it is a tar archive, and damaged");
  }
  return size;
}

/** The first capture in an archive: where it is and how long. */
async function entry(archive: Source): Promise<{ at: number; size: number }> {
  for (let at = 0; ; ) {
    const header = await exactly(archive, at, BLOCK);
    if (!isArchive(header)) {
      throw new Error("it is a tar archive, and holds no perf.data file");
    }
    const size = sizeOf(header);
    const begins = await exactly(archive, at + BLOCK, Math.min(8, size));
    if (MAGICS.includes(ascii(begins, 0, 8))) {
      if (/(^|\/)data\0/.test(ascii(header, 0, 101))) {
        throw new Error("it is a tar archive of what perf record --threads or --kcore wrote: unpack it");
      }
      return { at: at + BLOCK, size };
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** So many bytes, fewer only at the end: a stream gives them in pieces. */
export async function exactly(from: Source, offset: number, length: number): Promise<Uint8Array> {
  const all = new Uint8Array(length);
  let has = 0;
  while (has < length) {
    const piece = await from.read(offset + has, length - has);
    if (piece.length === 0) {
      break;
    }
    all.set(piece, has);
    has += piece.length;
  }
  return all.subarray(0, has);
}

/** The bytes, or those of the capture in the archive that they are. */
async function unarchived(bytes: Source): Promise<Source> {
  if (!isArchive(await exactly(bytes, 0, BLOCK))) {
    return bytes;
  }
  const { at, size } = await entry(bytes);
  return {
    read: (offset, length) => bytes.read(at + offset, Math.max(0, Math.min(length, size - offset))),
  };
}

/** An answer's body from `offset` on, as far as the server can begin there. */
async function fetched(url: string, offset: number): Promise<Begun & { size: number }> {
  const answer = await fetch(url, { headers: { Range: `bytes=${offset.toString()}-` } });
  if (answer.status === 416) {
    return { stream: new Blob([]).stream(), at: offset, size: 0 };
  }
  if (!answer.ok || answer.body === null) {
    throw new Error(`it cannot be fetched: ${answer.status.toString()} ${answer.statusText}`);
  }
  const at = answer.status === 206 ? offset : 0;
  return { stream: answer.body, at, size: at + Number(answer.headers.get("Content-Length") ?? 0) };
}

/** Beyond this many bytes, asking a server again is quicker than reading on. */
const AHEAD = 4 << 20;

/**
 * The bytes of a file or of a URL, unpacked where they are gzip or zstd, or those of the first capture in a tar archive:
 * which it is, the first bytes say. `size` is how many there are, packed, 0 where a server does not say.
 *
 * What is packed can only be unpacked from its beginning, and the metadata of a perf.data file is partly behind its
 * records: it is unpacked more than once.
 */
export async function source(from: Blob | string): Promise<{ bytes: Source; size: number; isPacked: boolean }> {
  const remote = typeof from === "string" ? await fetched(from, 0) : undefined;
  const size = typeof from === "string" ? (remote?.size ?? 0) : from.size;
  // The first stream is used for what is read first.
  let first = remote;
  const begin = async (offset: number): Promise<Begun> => {
    if (typeof from !== "string") {
      return { stream: from.stream(), at: 0 };
    }
    const begun = offset === 0 ? first : undefined;
    first = undefined;
    return begun ?? fetched(from, offset);
  };
  const plain = typeof from === "string" ? new Streamed(begin, AHEAD) : new Plain(from);
  const magic = await plain.read(0, 4);
  const begins = (...bytes: number[]) => bytes.every((byte, index) => magic[index] === byte);
  const unpacked = (unpack: (stream: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>) =>
    new Streamed(async () => ({ stream: unpack((await begin(0)).stream), at: 0 }), Infinity);
  if (begins(0x1f, 0x8b)) {
    return { bytes: await unarchived(unpacked(gunzip)), size, isPacked: true };
  }
  const isPacked = begins(0x28, 0xb5, 0x2f, 0xfd);
  return { bytes: await unarchived(isPacked ? unpacked(unzstd) : plain), size, isPacked };
}
