/** What the worker tells the page. */

export interface Container {
  id: string;
  runtime: string | undefined;
  cgroup: string | undefined;
  ownNamespaces: string[];
  processes: number;
  peakProcesses: number;
  threads: number;
  /** Seconds from the capture's beginning. */
  first: number;
  firstExact: boolean;
  /** Seconds from the capture's beginning; undefined while it runs. */
  last: number | undefined;
  commands: string[];
}

export interface Summary {
  records: number;
  threads: number;
  lost: number;
  /** Damage met on the way, in words. */
  faults: string[];
  faultCount: number;
  hasNamespaces: boolean;
  /** Seconds. */
  duration: number;
  /** Milliseconds since 1970. */
  began: number | undefined;
  hostname: string | undefined;
  kernel: string | undefined;
  containers: Container[];
}

export interface Decoder {
  /**
   * Reads a file to its end.
   * @param progress is called now and then with the offset that has been reached, in bytes
   * @throws where the file is not perf.data
   */
  read(file: Blob, progress: (bytes: number) => void): Promise<Summary>;
}
