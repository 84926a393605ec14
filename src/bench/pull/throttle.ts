// A network of a given speed on the loopback interface: passes bytes on to a server, those that come back no faster than
// that, all connections together. It is a native program, which takes little from what is measured through it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { UnpackError } from '../../index.js';
import { nativeTool, toolAbsence } from '../native-tool.js';

export interface Throttle {
  /** `127.0.0.1:PORT`. */
  host: string;
  /**
   * When the first byte came back since the last call, in milliseconds of the clock of `process.hrtime`; undefined where
   * none did.
   */
  firstByte(): Promise<number | undefined>;
  /** @returns bytes that have come back */
  close(): Promise<number>;
}

/**
 * @param rate bytes per second
 * @param scratch see `nativeTool`
 */
export async function startThrottle(
  target: { host: string; port: number },
  rate: number,
  scratch?: string,
): Promise<Throttle> {
  const tool = nativeTool(scratch);
  if (tool === undefined) {
    const { reason, install } = toolAbsence;
    throw new UnpackError('ERR_UNSUPPORTED', `no throttle: ${reason} (${install})`);
  }
  const args = ['throttle', target.host, String(target.port), String(rate)];
  // Out of the terminal's group: it ends with its stdin, and Ctrl-C is for who asks it.
  const child = spawn(tool, args, { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const failed = once(child, 'error').then(([error]) => {
    throw UnpackError.fromSystem(error, tool);
  });
  failed.catch(() => undefined); // who waits for a line is told
  const line = async () => {
    const { value } = await Promise.race([lines.next(), failed]);
    if (value === undefined) {
      throw new UnpackError('ERR_IO', `${tool} ${args.join(' ')}: has ended`);
    }
    return Number(value);
  };
  return {
    host: `127.0.0.1:${await line()}`,
    firstByte: async () => {
      child.stdin.write('\n');
      const seconds = await line();
      return seconds === 0 ? undefined : seconds * 1000;
    },
    close: () => {
      child.stdin.end();
      return line();
    },
  };
}
