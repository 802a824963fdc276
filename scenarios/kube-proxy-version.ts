/** A version of kube-proxy as a person writes it, made into its behaviour. */
import { FIRST_MINOR, kubeProxyBehaviour, kubeProxyMinor, LAST_MINOR } from '../model/kube-proxy-versions.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import { quote } from './errors.ts';

/** The behaviour, or the sentence that says what is wrong. `what` is the key or flag as it stands in the sentence. */
export function readKubeProxy(text: string | number, what: string): KubeProxyBehaviour | { readonly wrong: string } {
  const minor = kubeProxyMinor(String(text));
  if (minor !== undefined) return kubeProxyBehaviour(minor);
  const known = `must be a version of kube-proxy from v1.${FIRST_MINOR} to v1.${LAST_MINOR}, such as v1.31`;
  return { wrong: `${what} ${known}, got ${quote(text)}.${hint(text)}` };
}

/** To YAML, 1.30 is the number 1.3. */
function hint(text: string | number): string {
  const [whole, fraction] = String(text).split('.');
  if (typeof text === 'number' && whole === '1' && /^[23]$/.test(fraction ?? '')) {
    return ` Without quotes 1.${fraction}0 is the number ${text}: write v1.${fraction}0.`;
  }
  const digits = /^v?(\d\d)$/.exec(String(text))?.[1];
  if (digits !== undefined && kubeProxyMinor(`1.${digits}`) !== undefined) return ` Did you mean "v1.${digits}"?`;
  if (/^v?1\.\d+(\.\d+)?-/.test(String(text))) return ' Pre-releases are not told apart.';
  return '';
}
