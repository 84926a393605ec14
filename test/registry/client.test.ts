import { expect, test } from 'vitest';
import { parseImageName } from '../../src/oci/index.js';
import { RegistryClient } from '../../src/registry/index.js';

test.each(['host.io:99999/a', 'a0.0/a'])('no registry has the address of %s', async (text) => {
  const hostsDirectories: string[] = [];
  const opening = RegistryClient.open(parseImageName(text), { hostsDirectories });
  await expect(opening).rejects.toMatchObject({ code: 'ERR_INVALID_REFERENCE' });
});
